/* SPDX-License-Identifier: MIT */
/* Which addresses are private: one table for each family, and the many spellings of them. */
#include "base/http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

struct block {
    uint8_t prefix[16];
    int bits;
};

/* The documentation networks (192.0.2.0/24 and its kin) are left out: nothing answers there. */
static const struct block v4_private[] = {
    {{0}, 8},          /* "this" network, 0.0.0.0 reaches the local machine */
    {{10}, 8},         /* private */
    {{100, 64}, 10},   /* carrier-grade NAT */
    {{127}, 8},        /* loopback */
    {{169, 254}, 16},  /* link-local, cloud metadata services */
    {{172, 16}, 12},   /* private */
    {{192, 0, 0}, 24}, /* protocol assignments */
    {{192, 168}, 16},  /* private */
    {{198, 18}, 15},   /* benchmarking */
    {{224}, 4},        /* multicast */
    {{240}, 4},        /* reserved, broadcast */
};

static const struct block v6_private[] = {
    {{0}, 128},                                              /* unspecified */
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 128}, /* loopback */
    {{0, 0x64, 0xff, 0x9b, 0, 1}, 48},                       /* NAT64 of local use */
    {{0xfc}, 7},                                             /* unique-local */
    {{0xfe, 0x80}, 10},                                      /* link-local */
    {{0xfe, 0xc0}, 10},                                      /* site-local, retired */
    {{0xff}, 8},                                             /* multicast */
};

/* Forms that carry an IPv4 address at byte `at`, inverted or not. */
static const struct wrap {
    struct block block;
    int at, inverted;
} v6_wraps[] = {
    {{{0}, 96}, 12, 0},                                        /* IPv4-compatible */
    {{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96}, 12, 0}, /* IPv4-mapped */
    {{{0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0}, 96}, 12, 0}, /* IPv4-translated */
    {{{0, 0x64, 0xff, 0x9b}, 96}, 12, 0},                      /* NAT64 */
    {{{0x20, 0x02}, 16}, 2, 0},                                /* 6to4 */
    {{{0x20, 0x01, 0, 0}, 32}, 4, 0},                          /* Teredo, server */
    {{{0x20, 0x01, 0, 0}, 32}, 12, 1},                         /* Teredo, client */
};

static int in_block(const uint8_t *address, const struct block *block)
{
    int whole = block->bits / 8;
    int rest = block->bits % 8;

    if (memcmp(address, block->prefix, (size_t)whole) != 0)
        return 0;
    return !rest || (address[whole] >> (8 - rest)) == (block->prefix[whole] >> (8 - rest));
}

static int v4_is_private(const uint8_t address[4])
{
    for (size_t i = 0; i < sizeof(v4_private) / sizeof(v4_private[0]); i++)
        if (in_block(address, &v4_private[i]))
            return 1;
    return 0;
}

static int v6_is_private(const uint8_t address[16])
{
    static const uint8_t isatap[2][4] = {{0, 0, 0x5e, 0xfe}, {2, 0, 0x5e, 0xfe}};

    for (size_t i = 0; i < sizeof(v6_private) / sizeof(v6_private[0]); i++)
        if (in_block(address, &v6_private[i]))
            return 1;
    for (size_t i = 0; i < sizeof(v6_wraps) / sizeof(v6_wraps[0]); i++) {
        uint8_t inner[4];

        if (!in_block(address, &v6_wraps[i].block))
            continue;
        for (int k = 0; k < 4; k++)
            inner[k] = address[v6_wraps[i].at + k] ^ (v6_wraps[i].inverted ? 0xff : 0);
        if (v4_is_private(inner))
            return 1;
    }
    for (int i = 0; i < 2; i++)
        if (memcmp(address + 8, isatap[i], 4) == 0 && v4_is_private(address + 12))
            return 1;
    return 0;
}

/* The address without brackets, zone and trailing dot, cut to fit. 0 = cannot be an address or a name. */
static int plain(const char *address, char out[256])
{
    size_t length = strlen(address);

    if (length >= 2 && address[0] == '[' && address[length - 1] == ']') {
        address++;
        length -= 2;
    }
    if (memchr(address, ':', length) && memchr(address, '%', length))
        length = (size_t)((const char *)memchr(address, '%', length) - address);
    else if (length > 1 && address[length - 1] == '.')
        length--;
    if (length == 0 || length > 255)
        return 0;
    memcpy(out, address, length);
    out[length] = '\0';
    return 1;
}

/* Whether the last label reads as a number, so that some resolver takes the whole for an IPv4 address. */
static int looks_numeric(const char *name)
{
    const char *label = strrchr(name, '.');

    label = label ? label + 1 : name;
    if (strncasecmp(label, "0x", 2) == 0)
        return label[2 + strspn(label + 2, "0123456789abcdefABCDEF")] == '\0';
    return *label && label[strspn(label, "0123456789")] == '\0';
}

static int ends_in(const char *name, const char *domain)
{
    size_t length = strlen(name);
    size_t tail = strlen(domain);

    if (length < tail || strcasecmp(name + length - tail, domain) != 0)
        return 0;
    return length == tail || name[length - tail - 1] == '.';
}

int mmgr__address_is_private(const char *address)
{
    char text[256];
    struct in6_addr v6;
    struct in_addr v4;

    /* What is no address and no name is treated as the worst case. */
    if (!plain(address, text) || strchr(text, '%'))
        return 1;
    if (strchr(text, ':'))
        return inet_pton(AF_INET6, text, &v6) != 1 || v6_is_private(v6.s6_addr);
    if (looks_numeric(text))
        /* inet_aton() knows the old spellings: decimal, octal, hexadecimal and short forms. */
        return inet_aton(text, &v4) == 0 || v4_is_private((const uint8_t *)&v4.s_addr);
    return ends_in(text, "localhost") || (ends_in(text, "local") && strlen(text) > 5);
}

int mmgr__address_is_loopback(const char *address)
{
    static const uint8_t mapped[13] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127};
    char text[256];
    struct in6_addr v6;
    struct in_addr v4;

    if (!plain(address, text))
        return 0;
    if (inet_pton(AF_INET6, text, &v6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&v6) || memcmp(v6.s6_addr, mapped, sizeof(mapped)) == 0;
    if (looks_numeric(text))
        return inet_aton(text, &v4) != 0 && ((const uint8_t *)&v4.s_addr)[0] == 127;
    return ends_in(text, "localhost");
}

/* SPDX-License-Identifier: MIT */
/* Which addresses count as private, in all their spellings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/http.h"

static const char *const private_addresses[] = {
    /* loopback, in old and new spellings */
    "127.0.0.1",
    "127.255.255.254",
    "127.1",
    "0x7f.1",
    "0x7f000001",
    "2130706433",
    "017700000001",
    "0177.0.0.01",
    "0X7F.0.0.1",
    "127.0.0.1.",
    "::1",
    "[::1]",
    "0:0:0:0:0:0:0:1",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "a.localhost",
    "printer.local",
    /* unspecified and "this" network */
    "0",
    "0.0.0.0",
    "0.1.2.3",
    "::",
    /* private, link-local, CGNAT, benchmarking, multicast, reserved, broadcast */
    "10.0.0.1",
    "10.255.255.255",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "100.127.255.255",
    "192.0.0.8",
    "198.18.0.1",
    "198.19.255.255",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "3232235777",
    /* IPv6 */
    "fe80::1",
    "fe80::1%eth0",
    "febf::1",
    "fec0::1",
    "fc00::1",
    "fdff::1",
    "ff02::1",
    "64:ff9b:1::1",
    /* IPv6 that wraps such an IPv4 */
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "::ffff:0:10.0.0.1",
    "::127.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "2001:0:7f00:1::1",
    "2001:0:808:808::80ff:fffe",
    "2001:db8::5efe:10.0.0.1",
    "2001:db8::200:5efe:192.168.0.1",
    /* neither address nor name: the worst is assumed */
    "",
    "256.256.256.256",
    "99999999999",
    "1.2.3.4.5",
    "08.1.1.1",
    "::g",
    "12345::",
    "%31%32%37.0.0.1",
    "0x",
};

static const char *const public_addresses[] = {
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.1",
    "126.255.255.255",
    "128.0.0.1",
    "172.15.255.255",
    "172.32.0.1",
    "192.167.255.255",
    "192.169.0.1",
    "169.253.0.1",
    "169.255.0.1",
    "100.63.255.255",
    "100.128.0.1",
    "198.17.255.255",
    "198.20.0.1",
    "223.255.255.255",
    "203.0.113.9",
    "134744072",
    "0x8.0x8.0x8.0x8",
    "2606:4700::1111",
    "2001:4860:4860::8888",
    "[2606:4700::1111]",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "2002:808:808::1",
    "2001:0:808:808::f7f7:f7f7",
    "fe00::1",
    "fbff::1",
    "huggingface.co",
    "localhost.example.org",
    "notlocalhost",
    "local",
    "mylocal",
    "example.local.org",
    "1e100.net",
    "a.b.c1",
};

static void table(void **state)
{
    for (size_t i = 0; i < sizeof(private_addresses) / sizeof(private_addresses[0]); i++)
        if (!mmgr__address_is_private(private_addresses[i]))
            fail_msg("%s was taken for a public address", private_addresses[i]);
    for (size_t i = 0; i < sizeof(public_addresses) / sizeof(public_addresses[0]); i++)
        if (mmgr__address_is_private(public_addresses[i]))
            fail_msg("%s was taken for a private address", public_addresses[i]);
}

static void loopback(void **state)
{
    static const char *const yes[] = {
        "127.0.0.1",    "127.9.9.9",        "::1",   "[::1]", "localhost",
        "x.localhost.", "::ffff:127.0.0.1", "0x7f.1"};
    static const char *const no[] = {
        "10.0.0.1",  "0.0.0.0",       "::", "fe80::1",        "localhost.evil.org",
        "128.0.0.1", "printer.local", "",   "::ffff:10.0.0.1"};

    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
        if (!mmgr__address_is_loopback(yes[i]))
            fail_msg("%s is loopback", yes[i]);
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
        if (mmgr__address_is_loopback(no[i]))
            fail_msg("%s is not loopback", no[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(table), cmocka_unit_test(loopback)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

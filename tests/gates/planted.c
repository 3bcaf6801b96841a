/* SPDX-License-Identifier: MIT */
/* Commits one fault on purpose. A checker that lets it end with status 0 is not checking. */
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int shared_count;

static void *count(void *unused)
{
    for (int i = 0; i < 1000; i++)
        shared_count++;
    return unused;
}

static void race(void)
{
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        if (pthread_create(&threads[i], NULL, count, NULL) != 0)
            exit(0);
    }
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
}

/* Volatile pointers, because the optimiser removes an allocation that nobody can see. */
static void leak(void)
{
    char *volatile memory = malloc(3);
    memory = NULL;
    (void)memory;
}

static void overflow(volatile size_t length)
{
    char *volatile memory = calloc(length, 1);
    memory[length] = 1;
    free(memory);
}

static void undefined(volatile int number)
{
    number += 1;
    printf("%d\n", number);
}

int main(int argc, char **argv)
{
    const char *fault = argc > 1 ? argv[1] : "";
    if (strcmp(fault, "race") == 0)
        race();
    if (strcmp(fault, "leak") == 0)
        leak();
    if (strcmp(fault, "overflow") == 0)
        overflow(8);
    if (strcmp(fault, "undefined") == 0)
        undefined(INT_MAX);
    return 0;
}

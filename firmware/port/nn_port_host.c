/* nn_port_host.c - the port to a computer with a C library.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "nn_port.h"

#include <stdio.h>
#include <stdlib.h>

#define FILES_MAX 8

static FILE *files[FILES_MAX];

static int open_file(const char *path, const char *mode)
{
    for (int handle = 0; handle < FILES_MAX; handle++) {
        if (files[handle] == NULL) {
            files[handle] = fopen(path, mode);
            return files[handle] != NULL ? handle : -1;
        }
    }
    return -1;
}

int nn_port_open_read(const char *path)
{
    return open_file(path, "rb");
}

int nn_port_open_write(const char *path)
{
    return open_file(path, "wb");
}

int nn_port_read(int handle, void *data, size_t bytes)
{
    return fread(data, 1, bytes, files[handle]) == bytes;
}

int nn_port_write(int handle, const void *data, size_t bytes)
{
    return fwrite(data, 1, bytes, files[handle]) == bytes;
}

int nn_port_close(int handle)
{
    const int result = fclose(files[handle]);
    files[handle] = NULL;
    return result == 0;
}

void nn_port_print(const char *text)
{
    fputs(text, stdout);
}

void nn_port_print_number(uint32_t number)
{
    printf("%lu", (unsigned long)number);
}

void nn_port_exit(int code)
{
    exit(code);
}

int nn_port_cycles_start(void)
{
    return 0;
}

uint32_t nn_port_cycles(void)
{
    return 0;
}

void nn_port_stack_paint(void)
{
}

uint32_t nn_port_stack_used(void)
{
    return 0;
}

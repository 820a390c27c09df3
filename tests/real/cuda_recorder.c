/* A stand-in for the CUDA runtime that starts nothing: it writes down what it is asked to load and launch.

   The same file is cudart64_13.dll for Windows and libcudart.so.13 for Linux. It writes a line an event. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef _WIN32
#define API __declspec(dllexport)
#else
#define API __attribute__((visibility("default")))
#endif

typedef struct { unsigned x, y, z; } dim3;
typedef struct { int magic, version; const void *data, *more; } wrapper_t;
typedef struct { uint32_t magic; uint16_t version, header_size; uint64_t size; } fat_binary_t;
typedef struct { dim3 grid, block; size_t shared; void *stream; } launch_t;
typedef struct { const void *function; char name[512]; } kernel_t;

enum { success = 0, invalid_value = 1, unknown_function = 98, of_wrapper = 0x466243b1 };

static kernel_t kernels[4096];
static int known, images, depth;
static launch_t pending[16];

static const char *record_path, *table_path;

/* To be called first: the file to write, and a table that has a line a kernel: its name, and the size in bytes of
   each of its arguments, which a CUDA runtime is not told by who launches. */
API void recorder_begin(const char *record, const char *table)
{
    record_path = strdup(record), table_path = strdup(table);
}

static void say(const char *format, const char *text)
{
    FILE *file = record_path ? fopen(record_path, "ab") : NULL;
    if (!file) {
        fprintf(stderr, "the recorder of CUDA launches has no file to write\n");
        exit(99);
    }
    fprintf(file, format, text);
    fclose(file);
}

/* ------------------------------------------------------------------------------ what is loaded */

/* 64 bits of FNV-1a: enough to see that two images are one. */
static uint64_t hash(const unsigned char *bytes, uint64_t size)
{
    uint64_t value = 0xcbf29ce484222325u;
    while (size--) value = (value ^ *bytes++) * 0x100000001b3u;
    return value;
}

API void **__cudaRegisterFatBinary(void *given)
{
    static void *handles[256];
    const wrapper_t *wrapper = given;
    const fat_binary_t *image = wrapper->data;
    char text[200];
    snprintf(text, sizeof text, "image %d wrapper %x %d magic %x size %llu hash %016llx", images, wrapper->magic,
             wrapper->version, (unsigned)image->magic, (unsigned long long)(image->header_size + image->size),
             (unsigned long long)hash(wrapper->data, image->header_size + image->size));
    say("%s\n", text);
    handles[images] = given;
    return &handles[images++];
}

API void __cudaRegisterFunction(void **image, const char *host, char *device, const char *name, int limit,
                                void *tid, void *bid, void *block, void *grid, int *size)
{
    (void)image, (void)device, (void)limit, (void)tid, (void)bid, (void)block, (void)grid, (void)size;
    kernels[known].function = host;
    snprintf(kernels[known++].name, sizeof kernels[0].name, "%s", name);
    say("kernel %s\n", name);
}

API void __cudaRegisterVar(void **image, char *host, char *device, const char *name, int external, size_t size,
                           int constant, int global)
{
    (void)image, (void)host, (void)device, (void)external, (void)size, (void)constant, (void)global;
    say("variable %s\n", name);
}

API void __cudaRegisterFatBinaryEnd(void **image) { (void)image; say("%s\n", "registered"); }
API void __cudaUnregisterFatBinary(void **image) { (void)image; }
API char __cudaInitModule(void **image) { (void)image; return 1; }

/* ---------------------------------------------------------------------------- what is launched */

API unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, void *stream)
{
    launch_t launch = {grid, block, shared, stream};
    if (depth == 16) return invalid_value;
    pending[depth++] = launch;
    return success;
}

API int __cudaPopCallConfiguration(dim3 *grid, dim3 *block, size_t *shared, void *stream)
{
    if (!depth) return invalid_value;
    launch_t launch = pending[--depth];
    *grid = launch.grid, *block = launch.block, *shared = launch.shared, *(void **)stream = launch.stream;
    return success;
}

/* The line of the kernel in the table, after its name; NULL where there is none. */
static const char *sizes_of(const char *name)
{
    static char line[2048];
    FILE *file = fopen(table_path, "r");
    size_t length = strlen(name);
    const char *found = NULL;
    while (file && !found && fgets(line, sizeof line, file))
        if (!strncmp(line, name, length) && line[length] == ' ') found = line + length;
    if (file) fclose(file);
    return found;
}

static int record(const char *name, dim3 grid, dim3 block, void **arguments, size_t shared, void *stream)
{
    static char text[1 << 16];
    char *end = text;
    const char *sizes = sizes_of(name);
    char *next;
    if (!sizes) {
        say("launch of %s, which the device code has not\n", name);
        return unknown_function;
    }
    end += sprintf(end, "launch %s grid %u %u %u block %u %u %u shared %llu stream %llx arguments", name, grid.x,
                   grid.y, grid.z, block.x, block.y, block.z, (unsigned long long)shared,
                   (unsigned long long)(uintptr_t)stream);
    for (int i = 0;; i++, sizes = next) {
        long size = strtol(sizes, &next, 10);
        if (next == sizes) break;
        *end++ = ' ';
        for (long j = 0; j < size; j++) end += sprintf(end, "%02x", ((unsigned char *)arguments[i])[j]);
    }
    say("%s\n", text);
    return success;
}

API int cudaLaunchKernel(const void *function, dim3 grid, dim3 block, void **arguments, size_t shared, void *stream)
{
    for (int i = 0; i < known; i++)
        if (kernels[i].function == function) return record(kernels[i].name, grid, block, arguments, shared, stream);
    say("%s\n", "launch of a function that was not registered");
    return unknown_function;
}

/* What nvcc 13 makes of <<<>>>: a handle first, then the launch with it. */
API int __cudaGetKernel(const void **kernel, const void *function) { *kernel = function; return success; }
API int __cudaLaunchKernel(const void *kernel, dim3 grid, dim3 block, void **arguments, size_t shared, void *stream)
{
    return cudaLaunchKernel(kernel, grid, block, arguments, shared, stream);
}

/* ---------------------------------------------------------------------------------- the device */

API int cudaGetDevice(int *device) { *device = 0; return success; }
API int cudaSetDevice(int device) { return device ? invalid_value : success; }
API int cudaGetDeviceCount(int *count) { *count = 1; return success; }
API int cudaDeviceSynchronize(void) { say("%s\n", "synchronize"); return success; }
API int cudaGetLastError(void) { return success; }
API const char *cudaGetErrorName(int error) { return error ? "an error" : "cudaSuccess"; }
API const char *cudaGetErrorString(int error) { return cudaGetErrorName(error); }

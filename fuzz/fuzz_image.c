/* SPDX-License-Identifier: MIT */
/*
 * fuzz_image: any bytes as a memory image, ELF core, LiME or raw. It is refused with one line, or its ranges are sound,
 * can be read to the end and hold the file's bytes, and nothing can be read beside them.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"

/* A copy in the mapping's place: past a mapping's end the rest of its page can be read, and no sanitizer sees it. */
static void *map_copy(size_t size, int fd)
{
	void *copy = malloc(size);

	REQUIRE(copy && pread(fd, copy, size, 0) == (ssize_t)size);
	return copy;
}

#define mmap(address, size, protection, flags, fd, offset) map_copy(size, fd)
#define munmap(address, size) free(address)
#include "image.c"
#undef mmap
#undef munmap

static void check_registers(const struct image_registers *r)
{
	static const struct image_registers none;

	if (!r->present) {
		REQUIRE(!memcmp(r, &none, sizeof(none)));
		return;
	}
	REQUIRE(r->cpus && r->cpl <= 3);
	REQUIRE((r->has_pkru || !r->pkru) && (r->has_pkrs || !r->pkrs) && (r->has_eptp || !r->eptp));
}

static void check_format(const struct image *image, const uint8_t *data, size_t size)
{
	bool elf = size >= 4 && !memcmp(data, "\177ELF", 4), lime = size >= 4 && !memcmp(data, "EMiL", 4);

	REQUIRE(image->format == (elf ? IMAGE_ELF : lime ? IMAGE_LIME : IMAGE_RAW));
	if (image->format == IMAGE_RAW)
		REQUIRE(image->count == 1 && !image->ranges[0].start && image->ranges[0].size == size);
	if (image->format != IMAGE_ELF)
		REQUIRE(!image->registers.present);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char path[] = "/proc/self/fd/XXXXXXXXXX";
	static int file = -1;
	char error[IMAGE_ERROR_SIZE] = "";
	unsigned char page[IMAGE_PAGE_SIZE];
	struct image image;

	if (file < 0) {
		file = memfd_create("image", 0);
		REQUIRE(file >= 0);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	}
	REQUIRE(!ftruncate(file, 0) && pwrite(file, data, size, 0) == (ssize_t)size);

	if (image_open(&image, path, error, sizeof(error))) {
		REQUIRE(*error && !strchr(error, '\n') && strlen(error) < sizeof(error) - 1);
		REQUIRE(!image.bytes && !image.ranges);
		return 0;
	}
	REQUIRE(image.count > 0);
	check_format(&image, data, size);
	check_registers(&image.registers);
	for (size_t i = 0; i < image.count; i++) {
		const struct image_range *r = &image.ranges[i];
		const struct image_range *before = i ? &image.ranges[i - 1] : NULL;
		const unsigned char *window;

		REQUIRE(r->size && (!before || r->start >= before->start + before->size));
		REQUIRE(r->start < PHYSICAL_END && r->size <= PHYSICAL_END - r->start);
		REQUIRE(r->offset <= size && r->size <= size - r->offset);
		REQUIRE(image_read(&image, r->start, page, 1) && page[0] == data[r->offset]);
		REQUIRE(image_read(&image, r->start + r->size - 1, page, 1));
		REQUIRE(page[0] == data[r->offset + r->size - 1]);
		if (r->start && (!before || r->start > before->start + before->size))
			REQUIRE(!image_read(&image, r->start - 1, page, 1) &&
				!image_read(&image, r->start - 1, page, 2));
		image_read(&image, r->start, page, sizeof(page));
		image_read(&image, r->start + r->size - 1, page, sizeof(page));
		window = image_window(&image, r->start);
		if (window) {
			REQUIRE(window >= image.bytes && window + IMAGE_PAGE_SIZE <= image.bytes + size);
			REQUIRE(image_read(&image, r->start & ~(uint64_t)(IMAGE_PAGE_SIZE - 1), page, sizeof(page)));
			REQUIRE(!memcmp(window, page, sizeof(page)));
		}
	}
	REQUIRE(!image_read(&image, ~(uint64_t)0, page, 1) && !image_read(&image, PHYSICAL_END, page, 1));
	REQUIRE(!image_window(&image, ~(uint64_t)0));
	image_close(&image);
	return 0;
}

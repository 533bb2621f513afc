/* SPDX-License-Identifier: MIT */
/* fuzz_image: any bytes as a memory image. It is refused with one line, or its ranges are sound and can be read to the end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "image.h"

#define REQUIRE(cond) ((cond) ? (void)0 : abort())

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
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
		REQUIRE(*error && !strchr(error, '\n'));
		return 0;
	}
	REQUIRE(image.count > 0);
	for (size_t i = 0; i < image.count; i++) {
		const struct image_range *r = &image.ranges[i];
		const unsigned char *window;

		REQUIRE(r->size && (i == 0 || r->start >= image.ranges[i - 1].start + image.ranges[i - 1].size));
		REQUIRE(r->offset <= size && r->size <= size - r->offset);
		REQUIRE(image_read(&image, r->start, page, 1) && image_read(&image, r->start + r->size - 1, page, 1));
		image_read(&image, r->start, page, sizeof(page));
		image_read(&image, r->start + r->size - 1, page, sizeof(page));
		window = image_window(&image, r->start);
		if (window)
			REQUIRE(window >= image.bytes && window + IMAGE_PAGE_SIZE <= image.bytes + size);
	}
	image_read(&image, ~(uint64_t)0, page, sizeof(page));
	image_close(&image);
	return 0;
}

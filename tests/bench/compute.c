/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest that does nothing but compute, entered as a Linux kernel is: checksums, a sieve, a
 * sort, hashing and walks through linked memory, in equal parts, then power-off. What `viv
 * run --stats` says about it is the speed of the engine itself.
 */
#include <stddef.h>
#include <stdint.h>

#define COM1	 0x3f8
#define LSR_THRE (1 << 5)
#define WORDS	 65536u
#define ROUNDS	 30
#define SORT_LEN 8192

static uint32_t words[WORDS];
static uint8_t composite[WORDS];
static uint32_t crc_table[256];

static void outb(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static void outw(uint16_t port, uint16_t value)
{
	__asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static uint8_t inb(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static void put(uint8_t byte)
{
	while (!(inb(COM1 + 5) & LSR_THRE))
		;
	outb(COM1, byte);
}

static void print(const char *text)
{
	while (*text)
		put(*text++);
}

static void print_hex(uint32_t value)
{
	for (int shift = 28; shift >= 0; shift -= 4)
		put("0123456789abcdef"[value >> shift & 15]);
}

static uint32_t random_next(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

static void fill(uint32_t seed)
{
	for (size_t i = 0; i < WORDS; i++)
		words[i] = random_next(&seed);
}

static uint32_t checksum(void)
{
	uint32_t crc = ~0u;
	const uint8_t *bytes = (const uint8_t *)words;

	for (uint32_t i = 0; i < 256; i++) {
		crc_table[i] = i;
		for (int bit = 0; bit < 8; bit++)
			crc_table[i] = crc_table[i] >> 1 ^ (crc_table[i] & 1 ? 0xedb88320 : 0);
	}
	for (size_t i = 0; i < sizeof(words); i++)
		crc = crc >> 8 ^ crc_table[(crc ^ bytes[i]) & 255];
	return ~crc;
}

static uint32_t sieve(void)
{
	uint32_t primes = 0;

	for (size_t i = 0; i < WORDS; i++)
		composite[i] = 0;
	for (size_t i = 2; i < WORDS; i++) {
		if (composite[i])
			continue;
		primes++;
		for (size_t j = i * 2; j < WORDS; j += i)
			composite[j] = 1;
	}
	return primes;
}

static void sift(uint32_t *heap, size_t len, size_t at)
{
	size_t child;

	while ((child = 2 * at + 1) < len) {
		uint32_t value = heap[at];

		child += child + 1 < len && heap[child + 1] > heap[child];
		if (heap[child] <= value)
			return;
		heap[at] = heap[child];
		heap[child] = value;
		at = child;
	}
}

static uint32_t sort(void)
{
	uint32_t sum = 0;

	for (size_t i = SORT_LEN / 2; i-- > 0;)
		sift(words, SORT_LEN, i);
	for (size_t i = SORT_LEN; i-- > 1;) {
		uint32_t top = words[0];

		words[0] = words[i];
		words[i] = top;
		sift(words, i, 0);
	}
	for (size_t i = 0; i < SORT_LEN; i++)
		sum = sum * 31 + words[i];
	return sum;
}

static uint32_t hash(void)
{
	uint64_t h = 0xcbf29ce484222325;
	const uint8_t *bytes = (const uint8_t *)words;

	for (size_t i = 0; i < sizeof(words); i++)
		h = (h ^ bytes[i]) * 0x100000001b3;
	return h ^ h >> 32;
}

static uint32_t walk(void)
{
	uint32_t at = 1, sum = 0;

	for (size_t i = 0; i < 4 * WORDS; i++) {
		at = (words[at] ^ sum) % WORDS;
		sum += at ^ words[at] >> 7;
	}
	return sum;
}

void _start(void);
void _start(void)
{
	uint32_t sum = 0;

	for (uint32_t round = 1; round <= ROUNDS; round++) {
		fill(round);
		sum = sum * 33 + checksum();
		sum = sum * 33 + sieve();
		sum = sum * 33 + sort();
		sum = sum * 33 + hash();
		sum = sum * 33 + walk();
	}
	print("checksum ");
	print_hex(sum);
	print("\r\n");
	outw(PM1A_CNT, 1 << 13); /* SLP_EN; the SLP_TYP of \_S5 is 0 */
	for (;;)
		__asm__ volatile("cli; hlt");
}

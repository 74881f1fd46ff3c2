/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 16550A serial port. Output does not wait for the baud rate: a byte written is in the
 * stream when the write returns, so the transmitter is always empty. Input is taken from the
 * stream as the receive FIFO has room, so that it never overruns; only loopback can.
 */
#include "base/muldiv.h"
#include "dev/table.h"
#include "stream/stream.h"

#define NS	 1000000000ll
#define CLOCK_HZ 1843200

enum {
	NS16550_LEN = 8,
	FIFO_SIZE = 16,
	TIMEOUT_CHARS = 4,

	RBR_THR_DLL = 0,
	IER_DLM = 1,
	IIR_FCR = 2,
	LCR = 3,
	MCR = 4,
	LSR = 5,
	MSR = 6,
	SCR = 7,

	IER_ERBFI = 0x01,
	IER_ETBEI = 0x02,
	IER_ELSI = 0x04,
	IER_EDSSI = 0x08,
	IER_WRITABLE = 0x0f,

	IIR_NONE = 0x01,
	IIR_MODEM = 0x00,
	IIR_THRE = 0x02,
	IIR_DATA = 0x04,
	IIR_LINE = 0x06,
	IIR_TIMEOUT = 0x0c,
	IIR_FIFOS = 0xc0,

	FCR_ENABLE = 0x01,
	FCR_CLEAR_RX = 0x02,
	FCR_TRIGGER_SHIFT = 6,
	FCR_KEPT = 0xc9,

	LCR_WLS = 0x03,
	LCR_STB = 0x04,
	LCR_PEN = 0x08,
	LCR_DLAB = 0x80,

	MCR_DTR = 0x01,
	MCR_RTS = 0x02,
	MCR_OUT1 = 0x04,
	MCR_OUT2 = 0x08, /* gates the interrupt on a PC */
	MCR_LOOP = 0x10,
	MCR_WRITABLE = 0x1f,

	LSR_DR = 0x01,
	LSR_OE = 0x02,
	LSR_THRE = 0x20,
	LSR_TEMT = 0x40,

	MSR_DCTS = 0x01,
	MSR_DDSR = 0x02,
	MSR_TERI = 0x04,
	MSR_DDCD = 0x08,
	MSR_DELTAS = 0x0f,
	MSR_CTS = 0x10,
	MSR_DSR = 0x20,
	MSR_RI = 0x40,
	MSR_DCD = 0x80,
};

struct ns16550 {
	struct device device;
	struct irq_line irq;
	struct timer timer; /* character time-out */
	struct stream *stream;
	uint8_t ier, fcr, lcr, mcr, msr, scr;
	uint16_t divisor;
	uint8_t fifo[FIFO_SIZE];
	uint8_t fifo_first, fifo_count;
	bool overrun;
	bool thre_pending;    /* the THRE interrupt, until IIR has shown it */
	bool timeout_pending; /* the FIFO holds what nobody fetched for four characters */
	int64_t timeout_ns;   /* when it will; TIMER_NEVER: not waiting */
};

static bool has_fifo(const struct ns16550 *uart)
{
	return uart->fcr & FCR_ENABLE;
}

static unsigned fifo_limit(const struct ns16550 *uart)
{
	return has_fifo(uart) ? FIFO_SIZE : 1;
}

static unsigned trigger_level(const struct ns16550 *uart)
{
	static const uint8_t levels[] = {1, 4, 8, 14};

	return has_fifo(uart) ? levels[uart->fcr >> FCR_TRIGGER_SHIFT] : 1;
}

/* The interrupt of highest priority, as IIR's low bits. */
static uint8_t interrupt(const struct ns16550 *uart)
{
	if (uart->ier & IER_ELSI && uart->overrun)
		return IIR_LINE;
	if (uart->ier & IER_ERBFI && uart->fifo_count >= trigger_level(uart))
		return IIR_DATA;
	if (uart->ier & IER_ERBFI && uart->timeout_pending)
		return IIR_TIMEOUT;
	if (uart->ier & IER_ETBEI && uart->thre_pending)
		return IIR_THRE;
	if (uart->ier & IER_EDSSI && uart->msr & MSR_DELTAS)
		return IIR_MODEM;
	return IIR_NONE;
}

static void update_irq(struct ns16550 *uart)
{
	irq_line_set(&uart->irq, uart->mcr & MCR_OUT2 && interrupt(uart) != IIR_NONE);
}

/* Start, data, parity and stop bits, sixteen clocks each, times the divisor. */
static int64_t character_ns(const struct ns16550 *uart)
{
	unsigned bits = 1 + 5 + (uart->lcr & LCR_WLS) + !!(uart->lcr & LCR_PEN) + 1 +
			!!(uart->lcr & LCR_STB);

	return muldiv_ceil(bits * 16 * MAX(uart->divisor, 1), NS, CLOCK_HZ);
}

/* The receiver saw traffic: the time-out starts anew, if there is something to fetch. */
static void restart_timeout(struct ns16550 *uart)
{
	uart->timeout_pending = false;
	uart->timeout_ns = TIMER_NEVER;
	if (has_fifo(uart) && uart->fifo_count)
		uart->timeout_ns =
			clock_now_ns(uart->device.env->clock) + TIMEOUT_CHARS * character_ns(uart);
	timer_set(&uart->timer, uart->timeout_ns);
}

static void on_timeout(void *opaque)
{
	struct ns16550 *uart = opaque;

	uart->timeout_pending = uart->fifo_count;
	uart->timeout_ns = TIMER_NEVER;
	update_irq(uart);
}

static void fifo_push(struct ns16550 *uart, uint8_t byte)
{
	uart->fifo[(uart->fifo_first + uart->fifo_count++) % FIFO_SIZE] = byte;
}

/* Fetches input from the stream as far as there is room. */
static void receive(struct ns16550 *uart)
{
	uint8_t buf[FIFO_SIZE];
	size_t room = fifo_limit(uart) - MIN(uart->fifo_count, fifo_limit(uart)), n = 0;

	if (room && uart->stream && !(uart->mcr & MCR_LOOP))
		n = stream_read(uart->stream, buf, room);
	for (size_t i = 0; i < n; i++)
		fifo_push(uart, buf[i]);
	if (n)
		restart_timeout(uart);
	update_irq(uart);
}

static void on_readable(void *opaque)
{
	struct ns16550 *uart = opaque;

	g_mutex_lock(&uart->device.lock);
	receive(uart);
	g_mutex_unlock(&uart->device.lock);
}

static uint8_t read_rbr(struct ns16550 *uart)
{
	uint8_t byte = uart->fifo[uart->fifo_first];

	if (!uart->fifo_count)
		return 0;
	uart->fifo_first = (uart->fifo_first + 1) % FIFO_SIZE;
	uart->fifo_count--;
	restart_timeout(uart);
	receive(uart);
	return byte;
}

/* In loopback a full receiver loses the new byte (FIFO) or the old one (no FIFO). */
static void loop_back(struct ns16550 *uart, uint8_t byte)
{
	if (uart->fifo_count < fifo_limit(uart)) {
		fifo_push(uart, byte);
	} else {
		uart->overrun = true;
		if (!has_fifo(uart))
			uart->fifo[uart->fifo_first] = byte;
	}
	restart_timeout(uart);
}

static void write_thr(struct ns16550 *uart, uint8_t byte)
{
	if (uart->mcr & MCR_LOOP)
		loop_back(uart, byte);
	else if (uart->stream)
		stream_write(uart->stream, &byte, 1);
	/* Empty again at once. No edge if the last one is unanswered: a burst costs one interrupt.
	 */
	uart->thre_pending = true;
	update_irq(uart);
}

static void write_ier(struct ns16550 *uart, uint8_t value)
{
	/* Enabling the THRE interrupt while the transmitter is empty raises it. */
	if (value & ~uart->ier & IER_ETBEI)
		uart->thre_pending = true;
	uart->ier = value & IER_WRITABLE;
	update_irq(uart);
}

static uint8_t read_iir(struct ns16550 *uart)
{
	uint8_t id = interrupt(uart);

	if (id == IIR_THRE) {
		uart->thre_pending = false;
		update_irq(uart);
	}
	return id | (has_fifo(uart) ? IIR_FIFOS : 0);
}

static void write_fcr(struct ns16550 *uart, uint8_t value)
{
	bool switched = (value ^ uart->fcr) & FCR_ENABLE;

	/* The other bits count only together with the enable bit. */
	uart->fcr = value & FCR_ENABLE ? value & FCR_KEPT : 0;
	if (switched || (value & FCR_ENABLE && value & FCR_CLEAR_RX)) {
		uart->fifo_count = 0;
		restart_timeout(uart);
	}
	receive(uart);
}

/* Modem lines: in loopback the outputs', else those of a peer that is always there. */
static uint8_t modem_lines(const struct ns16550 *uart)
{
	uint8_t mcr = uart->mcr;

	if (!(mcr & MCR_LOOP))
		return MSR_CTS | MSR_DSR | MSR_DCD;
	return (mcr & MCR_RTS ? MSR_CTS : 0) | (mcr & MCR_DTR ? MSR_DSR : 0) |
	       (mcr & MCR_OUT1 ? MSR_RI : 0) | (mcr & MCR_OUT2 ? MSR_DCD : 0);
}

static void write_mcr(struct ns16550 *uart, uint8_t value)
{
	uint8_t old = uart->msr, lines, deltas;

	uart->mcr = value & MCR_WRITABLE;
	lines = modem_lines(uart);
	deltas = (lines ^ old) >> 4 & (MSR_DCTS | MSR_DDSR | MSR_DDCD);
	if (old & ~lines & MSR_RI)
		deltas |= MSR_TERI;
	uart->msr = lines | (old & MSR_DELTAS) | deltas;
	receive(uart);
}

static uint8_t read_lsr(struct ns16550 *uart)
{
	uint8_t value = LSR_THRE | LSR_TEMT | (uart->fifo_count ? LSR_DR : 0) |
			(uart->overrun ? LSR_OE : 0);

	uart->overrun = false;
	update_irq(uart);
	return value;
}

static uint8_t read_msr(struct ns16550 *uart)
{
	uint8_t value = uart->msr;

	uart->msr &= ~MSR_DELTAS;
	update_irq(uart);
	return value;
}

static uint64_t ns16550_read(void *opaque, uint64_t offset, unsigned size)
{
	struct ns16550 *uart = opaque;
	bool dlab = uart->lcr & LCR_DLAB;

	switch (offset) {
	case RBR_THR_DLL:
		return dlab ? uart->divisor & 0xff : read_rbr(uart);
	case IER_DLM:
		return dlab ? uart->divisor >> 8 : uart->ier;
	case IIR_FCR:
		return read_iir(uart);
	case LCR:
		return uart->lcr;
	case MCR:
		return uart->mcr;
	case LSR:
		return read_lsr(uart);
	case MSR:
		return read_msr(uart);
	default:
		return uart->scr;
	}
}

static void write_divisor(struct ns16550 *uart, uint64_t offset, uint8_t value)
{
	uart->divisor = offset == RBR_THR_DLL ? (uart->divisor & 0xff00) | value
					      : (uart->divisor & 0x00ff) | value << 8;
}

static void ns16550_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct ns16550 *uart = opaque;

	if (offset <= IER_DLM && uart->lcr & LCR_DLAB) {
		write_divisor(uart, offset, value);
		return;
	}
	switch (offset) {
	case RBR_THR_DLL:
		write_thr(uart, value);
		break;
	case IER_DLM:
		write_ier(uart, value);
		break;
	case IIR_FCR:
		write_fcr(uart, value);
		break;
	case LCR:
		uart->lcr = value;
		break;
	case MCR:
		write_mcr(uart, value);
		break;
	case SCR:
		uart->scr = value;
		break;
	}
}

static const struct bus_ops ns16550_ops = {ns16550_read, ns16550_write, 1, 1};

static bool ns16550_init(struct device *device, const struct device_config *config, GError **error)
{
	struct ns16550 *uart = (struct ns16550 *)device;

	irq_line_init(&uart->irq, device->env->bus, config->irq);
	timer_init(&uart->timer, device->env->clock, &device->lock, on_timeout, uart);
	if (!device_map(device, BUS_PIO, config->base, NS16550_LEN, &ns16550_ops, error))
		return false;
	uart->stream = config->stream;
	if (uart->stream)
		stream_set_readable(uart->stream, on_readable, uart);
	return true;
}

static void ns16550_reset(struct device *device)
{
	struct ns16550 *uart = (struct ns16550 *)device;

	uart->ier = uart->fcr = uart->lcr = uart->mcr = uart->scr = 0;
	uart->divisor = 12; /* 9,600 baud */
	uart->msr = modem_lines(uart);
	uart->fifo_first = uart->fifo_count = 0;
	uart->overrun = uart->thre_pending = false;
	restart_timeout(uart);
	receive(uart);
}

static void ns16550_post_load(struct device *device)
{
	struct ns16550 *uart = (struct ns16550 *)device;

	timer_set(&uart->timer, uart->timeout_ns);
	update_irq(uart);
}

static void ns16550_fini(struct device *device)
{
	struct ns16550 *uart = (struct ns16550 *)device;

	if (uart->stream)
		stream_set_readable(uart->stream, NULL, NULL);
	timer_fini(&uart->timer);
	if (uart->irq.bus)
		irq_line_set(&uart->irq, false);
}

static bool ns16550_check(const void *object)
{
	const struct ns16550 *uart = object;

	return !(uart->ier & ~IER_WRITABLE) && !(uart->mcr & ~MCR_WRITABLE) &&
	       !(uart->fcr & ~FCR_KEPT) && uart->fifo_first < FIFO_SIZE &&
	       uart->fifo_count <= fifo_limit(uart);
}

#define FIELD(member) STATE_FIELD(struct ns16550, member)

static const struct state_field ns16550_fields[] = {
	FIELD(ier),
	FIELD(fcr),
	FIELD(lcr),
	FIELD(mcr),
	FIELD(msr),
	FIELD(scr),
	FIELD(divisor),
	FIELD(fifo),
	FIELD(fifo_first),
	FIELD(fifo_count),
	FIELD(overrun),
	FIELD(thre_pending),
	FIELD(timeout_pending),
	FIELD(timeout_ns),
};

static const struct state_table ns16550_state = {
	.name = "ns16550",
	.version = 1,
	.object_size = sizeof(struct ns16550),
	.fields = ns16550_fields,
	.n_fields = G_N_ELEMENTS(ns16550_fields),
	.check = ns16550_check,
};

const struct device_class ns16550_class = {
	.name = "ns16550",
	.document = "National Semiconductor PC16550D data sheet (TL/C/8652)",
	.size = sizeof(struct ns16550),
	.state = &ns16550_state,
	.init = ns16550_init,
	.reset = ns16550_reset,
	.post_load = ns16550_post_load,
	.fini = ns16550_fini,
};

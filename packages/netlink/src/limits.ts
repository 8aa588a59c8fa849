/** Bounds of the client, with their reasons. */

/** An answer comes while the request is sent; a kernel that takes longer than this is stuck. */
export const TIMEOUT_MS = 10_000;

/**
 * How often a table is listed anew that changed meanwhile. Each attempt is as likely to be disturbed as
 * the one before, so more would only postpone the news.
 */
export const DUMP_ATTEMPTS_MAX = 8;

/**
 * Requests that were sent and have no acknowledgement: each takes up to a kilobyte of the socket's queue,
 * which without rights has 208 KiB, and what does not fit is lost.
 */
export const IN_FLIGHT_MAX = 64;

/** Requests without an answer: more means that answers do not come. */
export const PENDING_MAX = 4096;

/** Octets of a request: the length of an attribute is a u16, and no message has more than a few. */
export const REQUEST_OCTETS_MAX = 0x4_0000;

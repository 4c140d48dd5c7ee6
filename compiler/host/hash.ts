/** Hashes. A file of its own, whose types name no module of Node's: the door of the compiler hands it on. */

/**
 * SHA-256 of a text or of bytes, in hexadecimal: 64 digits.
 * @param data a text, taken as UTF-8, or bytes
 */
export function sha256(data: string | Uint8Array): string {
  return process.getBuiltinModule("node:crypto").createHash("sha256").update(data).digest("hex");
}

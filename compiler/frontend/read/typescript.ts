/**
 * TypeScript's parser and checker, as far as the reader needs them. The only file that knows which package they come
 * from.
 */
export { ts } from "ts-morph";

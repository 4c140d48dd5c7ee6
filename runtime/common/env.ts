/** Environment variables: the one module that reads them lies with the compiler, which reads some as well. */
export { env, onServer } from "../../compiler/host/env.ts";

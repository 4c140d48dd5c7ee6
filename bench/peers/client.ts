/** An engine, as the comparison sees it. */
import { root } from "../../scripts/runtime.mjs";
import { Client as ClientOf } from "../pairs/client.ts";
import type { Exchanges } from "./protocol.ts";

export class Client extends ClientOf<Exchanges> {
  constructor(name: string, program: string, env: Readonly<Record<string, string>>) {
    super(name, program, { env, cwd: root });
  }
}

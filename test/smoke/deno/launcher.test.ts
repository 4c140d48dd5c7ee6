/**
 * The launcher under Deno: help, version and wrong usage leave with the promised exit codes.
 */
import { launcherSuite } from "../suite.ts";

launcherSuite("deno");

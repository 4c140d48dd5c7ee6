/**
 * The launcher under Bun: help, version and wrong usage leave with the promised exit codes.
 */
import { launcherSuite } from "../suite.ts";

launcherSuite("bun");

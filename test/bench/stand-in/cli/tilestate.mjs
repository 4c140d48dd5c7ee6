/** Says what it was asked to say, as `tilestate generate` would. */
import { appendFileSync, readFileSync } from "node:fs";

const { name } = JSON.parse(readFileSync(new URL("../stand-in.json", import.meta.url), "utf8"));
const diary = process.env.STAND_IN_DIARY;
if (diary !== undefined) appendFileSync(diary, `${name} starts ${process.argv.slice(2).join(" ")}\n`);
process.stdout.write("A tale from the sea");

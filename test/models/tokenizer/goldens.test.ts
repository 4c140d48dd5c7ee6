/** Real tokenizers over recorded texts: the recorded ids, and the text back from them. Needs the shared data. */
import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { diskFolder } from "../../../models/io/node.ts";
import { loadTokenizer } from "../../../models/tokenizers/huggingface.ts";
import { shared } from "../formats/shared.ts";

const folder = shared("tokenizers");

describe.skipIf(folder === undefined)("recorded texts", () => {
  const phi3 = async (): Promise<readonly [string, readonly number[]][]> => {
    const file = `${folder}/phi3/ggml-vocab-phi-3.gguf`;
    const texts = (await readFile(`${file}.inp`, "utf8")).split("\n__ggml_vocab_test__\n");
    const ids = (await readFile(`${file}.out`, "utf8")).split("\n").slice(0, texts.length);
    return texts.map((text, i) => [text, (ids[i] ?? "").split(" ").filter(Boolean).map(Number)]);
  };

  test("phi3: ids as llama.cpp gives them", async () => {
    const tokenizer = await loadTokenizer(diskFolder(`${folder}/phi3`));
    const cases = await phi3();
    expect(cases.length).toBeGreaterThan(40);
    for (const [text, ids] of cases) expect([text, tokenizer.encode(text, { bos: false })]).toEqual([text, ids]);
  });

  test.each(["phi3", "smollm2"])("%s: texts come back, also with their control tokens as text", async (name) => {
    const tokenizer = await loadTokenizer(diskFolder(`${folder}/${name}`));
    const marks = ["</s>", "<s>", "<|im_end|>", "<|endoftext|>", "<|assistant|>", "<unk>"];
    for (const [text] of await phi3()) {
      expect(tokenizer.decode(tokenizer.encode(text, { bos: false }))).toBe(text);
      const marked = `${text}${marks.join(text)}`;
      const plain = tokenizer.encode(marked, { bos: false, special: "text" });
      expect(tokenizer.decode(plain)).toBe(marked);
    }
  });
});

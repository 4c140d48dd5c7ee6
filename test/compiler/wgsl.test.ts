/** The printed shaders of two small kernels: to be looked at when they change. */

import { describe, expect, test } from "vitest";
import { type Binding, generate, loadPrograms, type Target, type TileProgram } from "../../compiler/index.ts";
import { block, over, program, type Scalar, sum, type Tensor } from "../../dsl/index.ts";
import { TRAITS } from "../../runtime/adapters/traits.ts";

function scale(x: Tensor<"n">, factor: Scalar, y: Tensor<"n">): void {
  const i = block("n");
  y.set([i], x.at(i) * factor);
}

function rowSums(x: Tensor<"rows n">, y: Tensor<"rows">): void {
  const r = program("rows");
  let total = 0;
  for (const i of over("n")) total += sum(x.at(r, i));
  y.set([r], total);
}

const programs = loadPrograms(import.meta.url, Object.keys({ scale, rowSums })).then((l) => l.programs);
const SOFTWARE: Target = {
  profile: "software",
  subgroup: 8,
  pinned: false,
  maxInvocations: 256,
  storageBuffers: 10,
  traits: TRAITS.lavapipe,
};

async function shader(
  name: string,
  sizes: Readonly<Record<string, number>>,
  target: Partial<Target> = {},
  more: Partial<Binding> = {},
): Promise<string> {
  const p = (await programs).get(name) as TileProgram;
  const storage = Object.fromEntries(
    p.params.flatMap((q) => (q.kind === "tensor" ? [[q.name, q.storage[0] ?? "f32"]] : [])),
  );
  return generate(p, { sizes, storage, cells: [], ...more }, { ...SOFTWARE, ...target }).wgsl;
}

describe("WGSL", () => {
  test("element by element: one thread a vector", async () => {
    expect(await shader("scale", { n: 100 })).toMatchInlineSnapshot(`
      "@group(0) @binding(0) var<storage, read> p_x: array<vec4<f32>, 25>;
      @group(0) @binding(1) var<storage, read_write> p_y: array<vec4<f32>, 25>;
      struct Scalars { p_factor: f32 }
      @group(0) @binding(2) var<uniform> scalars: Scalars;
      @compute @workgroup_size(3)
      fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32, @builtin(num_workgroups) nwg: vec3<u32>) {
        let pid = wid.x * 3u + lid;
        if (pid >= 25u) { return; }
        let t2 = scalars.p_factor;
        let t3 = p_x[pid];
        let t4 = vec4<f32>(t2);
        let t5 = t3 * t4;
        p_y[pid] = t5;
      }
      "
    `);
  });

  test("a tensor in a texture: texels of 16 bytes, or what is wanted of them", async () => {
    const loader = async (n: number): Promise<string> =>
      (await shader("scale", { n }, {}, { pitches: { x: 2048 } })).split("\n").slice(0, 7).join("\n");
    expect(await loader(100)).toMatchInlineSnapshot(`
      "@group(0) @binding(0) var p_x: texture_storage_2d<rgba32uint, read>;
      fn load_p_x(i: u32) -> vec4<f32> {
        return bitcast<vec4<f32>>(textureLoad(p_x, vec2<u32>(i & 2047u, i >> 11u)));
      }
      @group(0) @binding(1) var<storage, read_write> p_y: array<vec4<f32>, 25>;
      struct Scalars { p_factor: f32 }
      @group(0) @binding(2) var<uniform> scalars: Scalars;"
    `);
    expect(await loader(102)).toMatchInlineSnapshot(`
      "@group(0) @binding(0) var p_x: texture_storage_2d<rgba32uint, read>;
      fn load_p_x(i: u32) -> vec2<f32> {
        let t = textureLoad(p_x, vec2<u32>((i >> 1u) & 2047u, (i >> 1u) >> 11u));
        return bitcast<vec2<f32>>(select(t.xy, t.zw, (i & 1u) != 0u));
      }
      @group(0) @binding(1) var<storage, read_write> p_y: array<vec2<f32>, 51>;
      struct Scalars { p_factor: f32 }"
    `);
    expect(await loader(101)).toMatchInlineSnapshot(`
      "@group(0) @binding(0) var p_x: texture_storage_2d<rgba32uint, read>;
      fn load_p_x(i: u32) -> f32 {
        let t = textureLoad(p_x, vec2<u32>((i >> 2u) & 2047u, (i >> 2u) >> 11u));
        let h = select(t.xy, t.zw, (i & 2u) != 0u);
        return bitcast<f32>(select(h.x, h.y, (i & 1u) != 0u));
      }
      @group(0) @binding(1) var<storage, read_write> p_y: array<f32, 101>;"
    `);
  });

  test("the same, where vectors do not fit", async () => {
    expect(await shader("scale", { n: 101 })).toMatchInlineSnapshot(`
      "@group(0) @binding(0) var<storage, read> p_x: array<f32, 101>;
      @group(0) @binding(1) var<storage, read_write> p_y: array<f32, 101>;
      struct Scalars { p_factor: f32 }
      @group(0) @binding(2) var<uniform> scalars: Scalars;
      @compute @workgroup_size(12)
      fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32, @builtin(num_workgroups) nwg: vec3<u32>) {
        let pid = wid.x * 12u + lid;
        if (pid >= 101u) { return; }
        let t1 = scalars.p_factor;
        let t2 = p_x[pid];
        let t3 = t2 * t1;
        p_y[pid] = t3;
      }
      "
    `);
  });

  test("a sum: one subgroup a row", async () => {
    expect(await shader("rowSums", { rows: 5, n: 96 })).toMatchInlineSnapshot(`
      "enable subgroups;
      diagnostic(off, subgroup_uniformity);
      @group(0) @binding(0) var<storage, read> p_x: array<vec4<f32>, 120>;
      @group(0) @binding(1) var<storage, read_write> p_y: array<f32, 5>;
      @compute @workgroup_size(8)
      fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32, @builtin(num_workgroups) nwg: vec3<u32>) {
        let pid = wid.x;
        let lane = lid;
        let zero = nwg.z - 1u; // unknown to the adapter's compiler
        var v1: vec4<f32> = vec4<f32>(0.0f);
        let t7 = pid * 24u;
        for (var n2_ = 0u; n2_ < 24u + zero; n2_ += 8u) {
          let t8 = n2_;
          let t9 = t8 + lane;
          let t10 = t7 + t9;
          let t11 = p_x[t10];
          let t12 = v1 + t11;
          v1 = t12;
        }
        let t13 = v1.x;
        let t14 = v1.y;
        let t15 = v1.z;
        let t16 = v1.w;
        let t17 = t13 + t14;
        let t18 = t17 + t15;
        let t19 = t18 + t16;
        let t20 = subgroupAdd(t19);
        let t21 = lane == 0u;
        let t22 = 0.0f + t20;
        if (t21) {
          p_y[pid] = t22;
        }
      }
      "
    `);
  });

  test("a sum without subgroups: one workgroup a row", async () => {
    expect(await shader("rowSums", { rows: 5, n: 96 }, { subgroup: 0 })).toMatchInlineSnapshot(`
      "@group(0) @binding(0) var<storage, read> p_x: array<f32, 480>;
      @group(0) @binding(1) var<storage, read_write> p_y: array<f32, 5>;
      var<workgroup> room_sum_f32: array<f32, 64>;
      fn lanes_sum_f32(x: f32, lane: u32) -> f32 { // f32
        room_sum_f32[lane] = x;
        workgroupBarrier();
        if (lane < 8u) {
          var a = room_sum_f32[lane];
          for (var i = lane + 8u; i < 64u; i += 8u) {
            let b = room_sum_f32[i];
            a = a + b;
          }
          room_sum_f32[lane] = a;
        }
        workgroupBarrier();
        if (lane == 0u) {
          var a = room_sum_f32[0];
          for (var i = 1u; i < 8u; i += 1u) {
            let b = room_sum_f32[i];
            a = a + b;
          }
          room_sum_f32[0] = a;
        }
        return workgroupUniformLoad(&room_sum_f32[0]);
      }
      @compute @workgroup_size(64)
      fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32, @builtin(num_workgroups) nwg: vec3<u32>) {
        let pid = wid.x;
        let lane = lid;
        let zero = nwg.z - 1u; // unknown to the adapter's compiler
        var v1: f32 = 0.0f;
        let t5 = pid * 96u;
        for (var n2 = 0u; n2 < 96u + zero; n2 += 64u) {
          let t3 = n2 + lane;
          let t4 = t3 < 96u;
          let t6 = t5 + t3;
          let t7 = p_x[t6];
          let t8 = select(0.0f, t7, t4);
          let t9 = v1 + t8;
          v1 = t9;
        }
        let t10 = lanes_sum_f32(v1, lane);
        let t11 = lane == 0u;
        let t12 = 0.0f + t10;
        if (t11) {
          p_y[pid] = t12;
        }
      }
      "
    `);
  });

  test("a pinned subgroup size is asked for", async () => {
    const text = await shader(
      "rowSums",
      { rows: 5, n: 256 },
      { subgroup: 32, pinned: true, profile: "gpu", traits: TRAITS.gpu },
    );
    expect(text.split("\n")[1]).toBe("enable subgroup_size_control;");
    expect(text).toMatch(/@compute @workgroup_size\(\d+\) @subgroup_size\(32\)\nfn main/);
  });

  test("is the same each time", async () => {
    expect(await shader("rowSums", { rows: 5, n: 96 })).toBe(await shader("rowSums", { rows: 5, n: 96 }));
  });
});

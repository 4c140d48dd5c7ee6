/**
 * One step of gravity among n bodies: every body is pulled by every other one (the direct method; GPU Gems 3, chapter
 * 31).
 *
 * The softening keeps two bodies that meet from throwing each other out of the picture. Velocities are moved first and
 * places with the new velocities (the symplectic Euler method), which keeps the energy from drifting.
 */
import { over, program, rsqrt, type Scalar, sum, type Tensor } from "tilestate/dsl";

/**
 * place and velocity [3, bodies] after `dt`; mass [bodies]; softening is a length. Results go to new tensors: programs
 * run in no order.
 */
export function step(
  place: Tensor<"axes bodies">,
  velocity: Tensor<"axes bodies">,
  mass: Tensor<"bodies">,
  dt: Scalar,
  softening: Scalar,
  nextPlace: Tensor<"axes bodies">,
  nextVelocity: Tensor<"axes bodies">,
): void {
  const i = program("bodies");
  let ax = 0;
  let ay = 0;
  let az = 0;
  for (const j of over("bodies")) {
    const x = place.at(0, j) - place.at(0, i);
    const y = place.at(1, j) - place.at(1, i);
    const z = place.at(2, j) - place.at(2, i);
    const near = rsqrt(x * x + y * y + z * z + softening * softening);
    const pull = mass.at(j) * near * near * near;
    ax += sum(x * pull);
    ay += sum(y * pull);
    az += sum(z * pull);
  }
  const vx = velocity.at(0, i) + dt * ax;
  const vy = velocity.at(1, i) + dt * ay;
  const vz = velocity.at(2, i) + dt * az;
  nextVelocity.set([0, i], vx);
  nextVelocity.set([1, i], vy);
  nextVelocity.set([2, i], vz);
  nextPlace.set([0, i], place.at(0, i) + dt * vx);
  nextPlace.set([1, i], place.at(1, i) + dt * vy);
  nextPlace.set([2, i], place.at(2, i) + dt * vz);
}

"""θ_j(u) ← θ_j(u) · (1/N_j) Σ_p n_p ∂ log P_p / ∂θ_j(u): EMCC (Algorithm 1), over distinct patterns, for all restarts
and segments.

Lines 6-16 of the paper's Algorithm 1 add P(U_j = u | v) over the records; with n_p equal records per pattern that sum
is θ_j(u) Σ_p n_p ∂ log P_p / ∂θ_j(u). N_j counts the records in whose patterns U_j takes part. Line 13 as printed
divides by all N records, where a record that says nothing of U_j leaves θ_j as it is: θ ← (N_j/N) · step + (1 −
N_j/N) · θ, the same fixed points reached more slowly; `literal=True` takes exactly these steps.

Stopping. Line 17, "until LL(θ_t) = LL(θ_t−1)", is replaced: with g_u = (1/N) Σ_p n_p yields[p, u] / P_p and one
exogenous variable, LL_max − LL(θ) ≤ N (max_u g_u − 1) (concavity). With several variables the same bound, summed over
them, tells how far any one of them could still raise LL while the others stay: stationarity, not a proof of the
maximum.

Axes: s segment, r restart, p distinct pattern, u exogenous state. Every matrix product has the shape of one segment,
so a segment's answer does not depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.learn.likelihood import Block, Group

Floats = NDArray[np.float64]
Chances = tuple[Floats, ...]
"""θ of a group: one array [s, r, u] per exogenous variable."""

Tick = Callable[[], float | None]
"""Called between steps; may raise to stop the work (a time limit). It tells how many seconds are left; None means that
there is no limit."""

CACHED = 40_000
"""Chances that are moved at a time: with their gradient they fit into a core's cache."""

_TINY = 1e-280  # P_p of a pattern without records may be zero, n_p / P_p is then zero as well; else it is to be finite


class Step(NamedTuple):
    """What one pass over the patterns tells of the chances given.

    gradient: g_j [s, r, u] = (1/N_j) Σ_p n_p ∂ log P_p/∂θ_j(u) per variable; loglik [s, r]; gap [s, r]: Σ_j N_j
    (max_u g_j − 1) in nats.
    """

    gradient: Chances
    loglik: Floats
    gap: Floats


def measure(chances: Chances, group: Group) -> Step:
    """Gradient, log-likelihood and gap at the chances: the E-step (Algorithm 1, lines 6-12), once per distinct
    pattern."""
    gradient: list[Floats | float] = [0.0] * len(chances)
    blocks = (Block((0,), group.stacked, group.count),) if group.concave else group.blocks
    fitted = [np.maximum(np.matmul(join(chances, b), b.yields.T), _TINY) for b in blocks]  # P(v_p), eq. (4)
    loglik, slopes = _weigh_patterns(group, blocks, fitted)
    for block, own in zip(blocks, slopes, strict=True):
        slope = np.matmul(own, block.yields)  # Σ_p yields[p, u] ∂LL/∂P_p
        for j in block.causes:
            gradient[j] = gradient[j] + _marginal_slope(slope, chances, block, j)
    records = np.maximum(group.records, _TINY)
    scaled = tuple(np.asarray(g) / records[:, None, j, None] for j, g in enumerate(gradient))
    excess = [np.maximum(g.max(axis=2) - 1, 0) * group.records[:, None, j] for j, g in enumerate(scaled)]
    return Step(scaled, np.asarray(loglik), np.sum(excess, axis=0))


def _weigh_patterns(group: Group, blocks: Sequence[Block], fitted: Sequence[Floats]) -> tuple[Floats, list[Floats]]:
    """LL [s, r], and ∂LL/∂P_p of each block's patterns [s, r, p]: n_p / P_p if each is a record of its own."""
    if group.mix is None:
        loglik = [np.matmul(np.log(p), b.count[:, :, None])[..., 0] for p, b in zip(fitted, blocks, strict=True)]
        return np.sum(loglik, axis=0), [b.count[:, None, :] / p for p, b in zip(fitted, blocks, strict=True)]
    joined = np.concatenate(fitted, axis=2)
    records = np.maximum(group.mix.products.fit(joined), _TINY)
    slope = group.mix.products.pull(joined, group.count[:, None, :] / records)
    cuts = np.cumsum([p.shape[2] for p in fitted])[:-1]
    return np.matmul(np.log(records), group.count[:, :, None])[..., 0], np.split(slope, cuts, axis=2)


def em_step(chances: Chances, group: Group, literal: Floats | None = None) -> tuple[Chances, Step]:
    """The next chances (Algorithm 1, lines 13-16), and what was measured at the chances given.

    literal: N [s], the records of all studies, for line 13 as printed.
    """
    step = measure(chances, group)
    new = []
    for j, (chance, gradient) in enumerate(zip(chances, step.gradient, strict=True)):
        weight = 1.0 if literal is None else group.records[:, j] / literal
        live = group.records[:, j] > 0  # a segment without records on U_j leaves it at its start
        weight = np.where(live, weight, 0.0)[:, None, None]
        new.append(chance * (gradient * weight + (1 - weight)))
    return tuple(new), step


def run(
    chances: Chances,
    group: Group,
    *,
    steps: int,
    gap: float,
    upper: Floats | None = None,
    literal: Floats | None = None,
    tick: Tick = lambda: None,
) -> tuple[Chances, Step, NDArray[np.intp]]:
    """EM steps until every restart's gap per record is at most `gap`, or `steps` are done; a restart that is there
    stays.

    upper: a proven bound on LL_max [s], which may show the gap sooner. Returns the chances, what was measured there,
    and the steps that each restart took [s, r].
    """
    taken = np.zeros(chances[0].shape[:2], dtype=np.intp)
    enough = gap * np.maximum(group.total, _TINY)[:, None]
    if group.concave and upper is None and literal is None:
        theta, taken = _climb_alone(chances[0], group, steps, enough, tick)
        return (theta,), measure((theta,), group), taken
    chances = tuple(np.array(c) for c in chances)
    active = np.arange(len(taken))  # segments with restarts that go on
    proposal, whole = em_step(chances, group, literal)
    step, left = whole, group
    for _ in range(steps):
        bound = step.gap if upper is None else np.minimum(step.gap, upper[active][:, None] - step.loglik)
        going = bound > enough[active]
        if not going.any():
            break
        tick()
        on = np.asarray(going.any(axis=1))
        if not on.all():
            active, going, left = active[on], going[on], take(left, on)
            proposal = tuple(c[on] for c in proposal)
        moved = tuple(np.where(going[..., None], new, old[active]) for new, old in zip(proposal, chances, strict=True))
        for all_of, own in zip(chances, moved, strict=True):
            all_of[active] = own
        taken[active] += going
        proposal, step = em_step(moved, left, None if literal is None else literal[active])
        put(whole, step, active)
    return chances, whole, taken


def put(whole: Step, step: Step, active: NDArray[np.intp]) -> None:
    """Puts what was measured of some segments in its place."""
    for all_of, own in zip(whole.gradient, step.gradient, strict=True):
        all_of[active] = own
    whole.loglik[active], whole.gap[active] = step.loglik, step.gap


def _climb_alone(
    theta: Floats, group: Group, steps: int, enough: Floats, tick: Tick
) -> tuple[Floats, NDArray[np.intp]]:
    """EM of one variable where nothing but the gradient is needed, in parts that fit into the cache."""
    new, taken = np.empty_like(theta), np.zeros(theta.shape[:2], dtype=np.intp)
    size = max(1, CACHED // (theta.shape[1] * theta.shape[2]))
    share = group.count / np.maximum(group.total, _TINY)[:, None]
    yields, columns = group.stacked, np.ascontiguousarray(group.stacked.T)
    for first in range(0, len(theta), size):
        part = slice(first, first + size)
        here, weight, least = np.array(theta[part]), share[part, None, :], enough[part]
        records = group.total[part, None]
        for _ in range(steps):
            ratio = np.matmul(here, columns)
            np.divide(weight, np.maximum(ratio, _TINY, out=ratio), out=ratio)
            gradient = np.matmul(ratio, yields)
            going = (gradient.max(axis=2) - 1) * records > least
            if not going.any():
                break
            tick()
            if going.all():
                here *= gradient
            else:
                np.multiply(here, gradient, out=here, where=going[..., None])
            taken[part] += going
        new[part] = here
    return new, taken


def take(group: Group, segments: NDArray[np.bool_] | NDArray[np.intp]) -> Group:
    """The same patterns in some of the segments."""
    return group.part(segments)


def join(chances: Chances, block: Block) -> Floats:
    """Π_j θ_j(u_j) over the block's variables, [s, r, joint u], the first variable slowest."""
    joint = chances[block.causes[0]]
    for j in block.causes[1:]:
        joint = (joint[..., :, None] * chances[j][..., None, :]).reshape(*joint.shape[:2], -1)
    return joint


def _marginal_slope(slope: Floats, chances: Chances, block: Block, j: int) -> Floats:
    """∂LL/∂θ_j [s, r, u] from the slope over joint states: weighted by the chances of the block's other variables."""
    if len(block.causes) == 1:
        return slope
    cube = slope.reshape(*slope.shape[:2], *(chances[i].shape[2] for i in block.causes))
    for i in reversed(block.causes):  # from the last axis on, so that the axes before keep their places
        if i != j:
            axis = 2 + block.causes.index(i)
            weight = chances[i].reshape(*slope.shape[:2], *(chances[i].shape[2] if k == i else 1 for k in block.causes))
            cube = (cube * weight).sum(axis=axis, keepdims=True)  # a product of BLAS would round with the batch
    return cube.reshape(*slope.shape[:2], -1)


def weigh_others(cube: Floats, chances: Sequence[Floats], own: int) -> Floats:
    """Σ over all axes of a cube [a, b, u_1, …, u_J] but u_own, weighted by their chances [a, b, u_j]: [a, b, u_own].

    a and b broadcast. A product of its own for each pair of them, and no copy of the cube, so that none rounds with the
    number of the others; nor with the memory's order, by which numpy chooses its way to multiply.
    """
    states = cube.shape[2 + own]
    for axis in range(len(chances) - 1, -1, -1):
        theta = np.ascontiguousarray(chances[axis])
        lead = cube.shape[:2]
        if axis > own:  # the last that is left
            cube = np.matmul(cube.reshape(*lead, -1, theta.shape[2]), theta[..., None])[..., 0]
        elif axis < own:
            rows = cube.reshape(*lead, -1, theta.shape[2], states)
            cube = np.matmul(theta[..., None, None, :], rows)[..., 0, :]
    return cube.reshape(*cube.shape[:2], states)

"""Windows: equal shapes, on whole cells, that cover the domain once, or blend to one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from xr_s2sr.errors import InputError
from xr_s2sr.inference.blending import ramp
from xr_s2sr.inference.windows import Plan, Window, make_plan
from xr_s2sr.spans import CELL, Span, ceil_to_cell

sides = st.integers(1, 150)
shapes = st.tuples(sides, sides)
tiles = st.integers(1, 200)
halos = st.none() | st.integers(0, 60)
margins = st.none() | st.integers(0, 60)
reaches = st.sampled_from([0, 12])
spans = st.tuples(st.integers(-50, 50), st.integers(0, 50)).map(lambda t: Span(t[0], t[0] + t[1]))


@given(spans, st.integers(-50, 50))
def test_span_is_an_interval(span: Span, by: int) -> None:
    pixels = range(span.start, span.stop)
    assert len(span) == len(pixels)
    assert span.slice == slice(span.start, span.stop)
    assert len(span.shift(by)) == len(span)
    assert span.shift(by).start == span.start + by


@given(spans, spans)
def test_clip_is_the_intersection(span: Span, to: Span) -> None:
    kept = span.clip(to)
    common = set(range(span.start, span.stop)) & set(range(to.start, to.stop))
    assert set(range(kept.start, kept.stop)) == common
    assert to.start <= kept.start <= kept.stop <= to.stop


def mirrored_by_hand(span: Span, n: int) -> set[int]:
    """Which of n samples are read, one by one: 0 1 2 2 1 0 0 1 2 ... on both sides."""
    return {i % (2 * n) if i % (2 * n) < n else 2 * n - 1 - i % (2 * n) for i in range(span.start, span.stop)}


@given(st.integers(1, 12), st.integers(-40, 11), st.integers(1, 40))
def test_mirrored_is_what_is_read(n: int, start: int, beyond: int) -> None:
    span = Span(min(start, n - 1), max(0, min(start, n - 1)) + beyond)
    read = mirrored_by_hand(span, n)
    assert span.mirrored(n) == Span(min(read), max(read) + 1)


@pytest.mark.parametrize(
    ("span", "n", "expected"),
    [
        (Span(-3, 2), 10, Span(0, 3)),  # 2 1 0 | 0 1
        (Span(-1, 4), 10, Span(0, 4)),
        (Span(8, 13), 10, Span(7, 10)),  # 8 9 | 9 8 7
        (Span(-12, 1), 10, Span(0, 10)),
        (Span(-5, -2), 10, Span(0, 5)),  # 4 3 2, and what lies between them and the edge
    ],
)
def test_mirrored_by_hand(span: Span, n: int, expected: Span) -> None:
    assert span.mirrored(n) == expected


@pytest.mark.parametrize(
    ("span", "anchor", "pixel", "side", "expected"),
    [
        (Span(7, 59), 0, 2, 4, Span(8, 56)),  # from the first even pixel on, 51 of which 48 are whole
        (Span(0, 12), 1, 2, 2, Span(1, 11)),
        (Span(5, 17), -1, 6, 12, Span(5, 17)),
        (Span(6, 17), -1, 6, 12, Span(11, 11)),
        (Span(2, 4), 5, 6, 6, Span(5, 5)),
    ],
)
def test_whole_by_hand(span: Span, anchor: int, pixel: int, side: int, expected: Span) -> None:
    assert span.whole(anchor, pixel, side) == expected


def test_span_runs_forward() -> None:
    with pytest.raises(InputError, match="cannot end before it starts: 3:2"):
        Span(3, 2)


@given(st.integers(-500, 500))
def test_ceil_to_cell(n: int) -> None:
    up = ceil_to_cell(n)
    assert up % CELL == 0
    assert 0 <= up - n < CELL


def test_window_starts_on_cells() -> None:
    good = Span(0, 6), Span(0, 6), Span(0, 6)
    bad = Span(3, 9), Span(0, 6), Span(3, 9)
    with pytest.raises(InputError, match="must start and end on multiples of 6 pixels"):
        Window(*zip(good, bad, strict=True))


@pytest.mark.parametrize("write", [Span(1, 5), Span(6, 10), Span(0, 6)])
def test_window_writes_what_it_crops(write: Span) -> None:
    row = Span(-6, 12), Span(6, 10), Span(0, 4)
    Window(*zip(row, row, strict=True))
    with pytest.raises(InputError, match=r"a window keeps .* which is not"):
        Window(*zip(row, (row[0], row[1], write), strict=True))


@settings(deadline=None)
@given(shapes, tiles, halos, margins, reaches)
def test_windows_are_equal_and_on_cells(
    shape: tuple[int, int], tile: int, halo: int | None, margin: int | None, reach: int
) -> None:
    plan = make_plan(shape, tile, halo, margin, reach)
    windows = list(plan)
    assert len(windows) == len(plan)
    assert all(side % CELL == 0 for side in (*plan.tile, plan.margin, plan.overlap))
    for window in windows:
        assert tuple(len(span) for span in window.read) == plan.window_shape
        for read, crop, write, n in zip(window.read, window.crop, window.write, shape, strict=True):
            assert read.start % CELL == 0
            assert 0 <= crop.start <= crop.stop <= len(read)
            assert 0 <= write.start < write.stop <= n
            assert write == crop.shift(read.start)


@settings(deadline=None)
@given(shapes, tiles, halos, margins, reaches)
def test_margin(shape: tuple[int, int], tile: int, halo: int | None, margin: int | None, reach: int) -> None:
    plan = make_plan(shape, tile, halo, margin, reach)
    asked = 24 if margin is None else margin
    if halo is None or (margin is not None and margin < halo):
        assert plan.margin == plan.overlap == ceil_to_cell(asked)
    else:
        assert plan.overlap == 0
        assert plan.margin == ceil_to_cell(max(margin or 0, halo + reach))
        # rounded up, evened out, and no larger than asked for
        assert max(plan.tile) <= ceil_to_cell(tile)
    # filling looks farther, but moves no window: progress can be counted before the pixels are seen
    assert make_plan(shape, tile, halo, margin, 0).tile == plan.tile


@settings(deadline=None)
@given(shapes, tiles, halos, margins, reaches)
def test_seamless_windows_write_each_pixel_once(
    shape: tuple[int, int], tile: int, halo: int | None, margin: int | None, reach: int
) -> None:
    plan = make_plan(shape, tile, halo, margin, reach)
    assume(plan.overlap == 0)
    count = np.zeros(shape, int)
    for window in plan:
        count[window.write[0].slice, window.write[1].slice] += 1
        # what is kept has the halo around it, and what filling adds
        if halo is not None and (margin is None or margin >= halo):
            for read, write in zip(window.read, window.write, strict=True):
                assert read.start <= write.start - halo - reach
                assert read.stop >= write.stop + halo + reach
    assert (count == 1).all()


@settings(deadline=None)
@given(shapes, st.tuples(tiles, tiles), st.integers(0, 12), st.integers(1, 12), st.data())
def test_windows_that_end_with_the_domain(
    shape: tuple[int, int], tile: tuple[int, int], less: int, margin: int, data: st.DataObject
) -> None:
    """Each pixel is written once, with the margin around it, or all there is: as much as is read beyond the domain."""
    margin, less = 6 * margin, 6 * min(less, margin)
    drawn = [6 * data.draw(st.integers(0, margin // 6)) for _ in range(4)]
    outer = (drawn[0], drawn[1]), (drawn[2], drawn[3])
    usual = Plan(shape, (ceil_to_cell(tile[0]), ceil_to_cell(tile[1])), margin, outer=outer)
    inner = ((min(drawn[0], margin - less), min(drawn[1], margin - less)), (0, 0))
    fewer = usual.with_margin(margin - less, (inner[0], inner[1]))
    assert all(now <= before for now, before in zip(fewer.counts, usual.counts, strict=True))
    for plan in (usual, fewer):
        count, edges = np.zeros(shape, int), plan.outer or ()
        windows = list(plan)
        assert len(windows) == len(plan)
        for window in windows:
            assert tuple(len(span) for span in window.read) == plan.window_shape
            count[window.write[0].slice, window.write[1].slice] += 1
            for read, write, n, (before, after) in zip(window.read, window.write, shape, edges, strict=True):
                assert read.start % CELL == read.stop % CELL == 0
                assert -before <= read.start <= max(-before, write.start - plan.margin)
                last = ceil_to_cell(n) + after
                assert min(last, write.stop + plan.margin) <= read.stop <= last
        assert (count == 1).all()


@settings(deadline=None, max_examples=60)
@given(shapes, tiles, st.none() | st.integers(40, 90), st.integers(1, 40))
def test_ramps_sum_to_one(shape: tuple[int, int], tile: int, halo: int | None, margin: int) -> None:
    plan = make_plan(shape, tile, halo, margin)
    assume(plan.overlap > 0)
    total = np.zeros(shape)
    for window in plan:
        rows, cols = (ramp(plan, axis, window) for axis in (0, 1))
        assert rows.dtype == cols.dtype == np.float32
        assert min(rows.min(), cols.min()) >= 0
        total[window.write[0].slice, window.write[1].slice] += np.outer(rows, cols)
    np.testing.assert_allclose(total, 1, atol=1e-6)


def test_no_margin_at_all_leaves_seams() -> None:
    plan = make_plan((24, 24), 12, halo=None, margin=0)
    assert (plan.margin, plan.overlap, len(plan)) == (0, 0, 4)


def test_ramp_by_hand() -> None:
    plan = Plan((24, 24), (12, 12), 6, 6)
    first, _, third, _ = plan
    falling = np.cos(np.pi * (np.arange(12) + 0.5) / 24) ** 2  # (1 + cos t) / 2 = cos(t / 2)^2
    np.testing.assert_allclose(ramp(plan, 0, first), [*np.ones(6), *falling], atol=1e-6)
    np.testing.assert_allclose(ramp(plan, 0, third), [*falling[::-1], *np.ones(6)], atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((0, 5), 6, 0), "nothing to cover: the domain is 0 x 5 pixels"),
        (((6, 6), 0, 0), "tile is 0; use a positive number of 10 m pixels, such as tile=720"),
        (((6, 6), 6, 0, -1), "margin is -1; use 0 or more 10 m pixels, such as margin=36"),
    ],
)
def test_refused(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_plan(*arguments)  # type: ignore[arg-type]

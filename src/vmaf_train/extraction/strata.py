"""Which frames of a video a sample holds: one per stratum of consecutive frames, by a seed.

The position of the chosen frame within its stratum comes from a formula that ffmpeg's `select`
filter and NumPy compute alike, so a video of any length needs no list of frames. It is irregular,
so that no rhythm of an encoder can agree with it.

Source: the quadratic congruential method, Knuth, The Art of Computer Programming, volume 2, section
3.2.2; here two squares modulo a prime scramble the number of the stratum. All numbers stay below
2^53, where float64 is exact.
"""

from dataclasses import dataclass

import numpy as np

# A prime below 2^26: the square of a remainder stays below 2^52.
PRIME = 67_108_859
# Factors and an addend without meaning, below the prime.
STEP, SEED_STEP, LEVEL_STEP, ADDEND = 30_517_578, 15_485_863, 48_271_111, 25_214_903


@dataclass(frozen=True)
class Strata:
    """Strata of consecutive frames, each with one chosen frame, refined level by level.

    A stratum that holds the chosen frame of a coarser level keeps that frame.

    Attributes:
        levels: frames per stratum of each level; each divides the one before. The last counts.
        seed: another seed chooses other frames; 0 or more.
    """

    levels: tuple[int, ...]
    seed: int = 0

    @property
    def every(self) -> int:
        """Frames per stratum."""
        return self.levels[-1]

    def refined(self, every: int) -> "Strata":
        """Return strata of `every` frames, a divisor of `self.every`, that keep what is chosen."""
        assert self.every % every == 0, (self.levels, every)
        return Strata((*self.levels, every), self.seed)

    def chosen(self, n_frames: int) -> np.ndarray:
        """Return the chosen frames of a video, int64 of shape (chosen,), ascending from 0.

        The last stratum can be cut by the end of the video before its chosen frame.
        """
        # As if the video ended with a whole stratum of the coarsest level.
        whole = -(-n_frames // self.levels[0]) * self.levels[0]
        place = np.zeros(0)
        for level, every in enumerate(self.levels):
            stratum = np.arange(whole // every, dtype=np.float64)
            own = stratum * every + np.floor(self._draw(stratum, level) * every / PRIME)
            if level:
                coarse = place.repeat(self.levels[level - 1] // every)
                own = np.where(np.floor(coarse / every) == stratum, coarse, own)
            place = own
        frames: np.ndarray = place[place < n_frames].astype(np.int64)
        return frames

    def added(self, n_frames: int) -> np.ndarray:
        """Return the frames that the last level chose in addition to the others, as `chosen`."""
        if len(self.levels) == 1:
            return self.chosen(n_frames)
        before = Strata(self.levels[:-1], self.seed)
        return np.setdiff1d(self.chosen(n_frames), before.chosen(n_frames))

    @property
    def select(self) -> str:
        """ffmpeg's filter that keeps the frames of `added`."""
        steps = []
        for level, every in enumerate(self.levels):
            # ld(0) is the number of the stratum of frame n, ld(2) the place that was chosen in the
            # coarser one.
            start = self._start(level)
            steps += [
                f"st(0,floor(n/{every}))",
                f"st(1,mod(ld(0)*{STEP}+{start},{PRIME}))",
                f"st(1,mod(ld(1)*ld(1),{PRIME}))",
                f"st(1,mod(ld(1)+{ADDEND},{PRIME}))",
                f"st(1,mod(ld(1)*ld(1),{PRIME}))",
                f"st(1,ld(0)*{every}+floor(ld(1)*{every}/{PRIME}))",
            ]
            kept = f"eq(floor(ld(2)/{every}),ld(0))" if level else "0"
            last = level == len(self.levels) - 1
            steps.append(f"eq(n,ld(1))*not({kept})" if last else f"st(2,if({kept},ld(2),ld(1)))")
        return f"select='{';'.join(steps)}'"

    def _start(self, level: int) -> int:
        return (self.seed * SEED_STEP + level * LEVEL_STEP + 1) % PRIME

    def _draw(self, stratum: np.ndarray, level: int) -> np.ndarray:
        """Return a number from 0 to PRIME - 1 for each stratum."""
        value = _remainder(stratum * STEP + self._start(level))
        value = _remainder(value * value)
        value = _remainder(value + ADDEND)
        return _remainder(value * value)


def _remainder(value: np.ndarray) -> np.ndarray:
    """Return value mod PRIME by the steps of ffmpeg's mod()."""
    remainder: np.ndarray = value - np.floor(value / PRIME) * PRIME
    return remainder

"""What `prepare` is asked for."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PrepareConfig:
    """Folders, networks and how many items a subject.

    data: folder with portraits/ and studio/; out: folder for the packed sets; head, registrar: folders or Hub ids whose
    subfolders `head` and `registrar` have the head and the capture's registration network; workers: processes, one core
    each, 1 for this one; environments: folder of panoramas that light the simulated captures, too, none if None.

    Of each training subject: variants augmented textures, lights simulated captures, fits fitted captures for the
    registration network, texel_lights captures in texture space. everybody: `fits` show heads of both shape spaces through
    phones' lenses.
    """

    data: Path
    out: Path
    head: str = "weights_card"
    registrar: str = "weights_card"
    workers: int = 2
    variants: int = 24
    lights: int = 4
    fits: int = 12
    texel_lights: int = 100
    everybody: bool = False
    environments: Path | None = None

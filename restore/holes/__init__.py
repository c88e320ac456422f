"""Owns which pixels are missing: mask files, alpha, colour key, detectors; pairing, lint and growth of masks.

find        the one way in: `find(page, rule, traits, marked=..., infrared=...)` gives `Found`
found       what a search gives: holes, labels, blobs, and the picture where dirt was divided out
pairing     which mask or infrared file belongs to which picture, by name
marked      reading mask files, and writing holes as one
lint        what is doubtful about a mask file
key         holes that the picture declares: alpha 0, a colour key
detect      damage told from the picture itself: specks and lines (spots), transport scratches (lines)
infrared    dirt told by a scanner's infrared channel: align, then divide out or give up as holes (divide)
grow        how far holes grow
levels      the one plane that detectors look at; shape: how long and thick a thing is
"""

from restore.holes.find import find
from restore.holes.found import Blob, Found
from restore.holes.lint import Doubt, DoubtKind, doubts
from restore.holes.marked import as_mask, read_marks

__all__ = ["Blob", "Doubt", "DoubtKind", "Found", "as_mask", "doubts", "find", "read_marks"]

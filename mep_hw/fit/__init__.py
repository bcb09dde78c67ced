"""Device cards from measured pulses: readings -> steps -> family -> card, with residuals and a picture.

    card, report = fit_card("pulses.csv", "soft-bounds", "my-cell")

`readings` reads the file, `steps` makes changes per pulse of it, `lines`, `shapes` and `noise` estimate, `cards` writes
"""

from mep_hw.fit.fit import FAMILIES as FAMILIES
from mep_hw.fit.fit import Fitted as Fitted
from mep_hw.fit.fit import fit_card as fit_card
from mep_hw.fit.tables import table_card as table_card

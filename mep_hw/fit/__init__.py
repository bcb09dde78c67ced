"""Device cards from measured pulses: readings -> steps -> family -> card, with residuals and a picture.

    fitted = fit_card("pulses.csv", "soft-bounds", "my-cell")
    fitted.card, fitted.report

`readings` reads the file, `steps` makes changes per pulse of it, `lines`, `shapes` and `noise` estimate, `cards` writes
what was found as a card, `tables` builds jump tables instead. `mep_hw.cells` simulates what the card then says.

Not valid for cells whose response depends on more than their weight, such as on earlier pulses or on time.
"""

from mep_hw.fit.fit import FAMILIES as FAMILIES
from mep_hw.fit.fit import Fitted as Fitted
from mep_hw.fit.fit import fit_card as fit_card
from mep_hw.fit.tables import table_card as table_card

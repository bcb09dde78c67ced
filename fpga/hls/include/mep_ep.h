// Equilibrium networks in fixed point for high-level synthesis: what a generated node is made of.
//
// A layer is an array [WORDS][LANES]: LANES units lie side by side in LANES memories, so that they are read at once. A
// coupling is an array [WORDS][LANES], LANES weights in one wide word. A generated config.h gives both their types.

#ifndef MEP_EP_H
#define MEP_EP_H

#include "mep_learn.h"
#include "mep_link.h"
#include "mep_number.h"
#include "mep_relax.h"
#include "mep_stream.h"
#include "mep_sweep.h"

namespace mep {

enum { WRITE = 1, READ = 2, RUN = 3 }; // operations
enum { NUDGE = 1, LEARN = 2, EMIT_FREE = 4, EMIT_READOUT = 8, EMIT_PLUS = 16, EMIT_MINUS = 32 }; // flags of RUN
enum { FREE = 0, PLUS = 1, MINUS = 2 }; // phases
enum { DONE = 0, BAD_JOB = 1, BAD_BELOW = 2, BAD_ABOVE = 4 }; // status; BAD_BELOW, BAD_ABOVE: a wrong frame came

} // namespace mep

#endif

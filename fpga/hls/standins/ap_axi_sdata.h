// Stands in for the vendor's AXI4-Stream beat where that is not installed: the side channels that mep_ep uses.

#ifndef MEP_STANDIN_AP_AXI_SDATA_H
#define MEP_STANDIN_AP_AXI_SDATA_H

#include "ap_int.h"

template <int DATA, int USER, int ID, int DEST>
struct ap_axis {
    static_assert(USER == 0 && ID == 0 && DEST == 0, "the stand-in has no TUSER, TID and TDEST");
    ap_int<DATA> data;
    ap_uint<(DATA + 7) / 8> keep;
    ap_uint<(DATA + 7) / 8> strb;
    ap_uint<1> last;
};

#endif

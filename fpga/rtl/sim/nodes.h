// One Verilated node behind a fixed set of pins, whatever its configuration, and the beats of its streams.
#pragma once
#include <cstdint>
#include <string>
#include <unistd.h>

#include "verilated.h"

struct Stream {  // of one direction, seen from the test bench
    CData *valid, *ready, *last;
    IData *data;
};

struct Node {
    Stream host_in, host_out, below_in, below_out, above_in, above_out;
    CData *stop, *quiet;
    CData *clock, *reset_n, *awaddr, *awvalid, *awready, *wvalid, *wready, *bvalid, *bready;
    CData *araddr, *arvalid, *arready, *rvalid, *rready;
    IData *wdata, *rdata;
    virtual ~Node() = default;
    virtual void eval() = 0;
};

template <class Model> struct Bench : Node {
    Model top;
    Bench() {
        host_in = {&top.s_host_tvalid, &top.s_host_tready, &top.s_host_tlast, &top.s_host_tdata};
        host_out = {&top.m_host_tvalid, &top.m_host_tready, &top.m_host_tlast, &top.m_host_tdata};
        below_in = {&top.s_below_tvalid, &top.s_below_tready, &top.s_below_tlast, &top.s_below_tdata};
        below_out = {&top.m_below_tvalid, &top.m_below_tready, &top.m_below_tlast, &top.m_below_tdata};
        above_in = {&top.s_above_tvalid, &top.s_above_tready, &top.s_above_tlast, &top.s_above_tdata};
        above_out = {&top.m_above_tvalid, &top.m_above_tready, &top.m_above_tlast, &top.m_above_tdata};
        stop = &top.stop, quiet = &top.quiet;
        clock = &top.aclk, reset_n = &top.aresetn;
        awaddr = &top.s_axil_awaddr, awvalid = &top.s_axil_awvalid, awready = &top.s_axil_awready;
        wvalid = &top.s_axil_wvalid, wready = &top.s_axil_wready, wdata = &top.s_axil_wdata;
        bvalid = &top.s_axil_bvalid, bready = &top.s_axil_bready;
        araddr = &top.s_axil_araddr, arvalid = &top.s_axil_arvalid, arready = &top.s_axil_arready;
        rvalid = &top.s_axil_rvalid, rready = &top.s_axil_rready, rdata = &top.s_axil_rdata;
    }
    void eval() override { top.eval(); }
};

// A node that finds its .mem files in `folder`.
template <class Model> Node *load(const std::string &folder) {
    char here[4096];
    if (!getcwd(here, sizeof here) || chdir(folder.c_str())) throw std::string("no folder ") + folder;
    Node *node = new Bench<Model>();
    node->eval();
    if (chdir(here)) throw std::string("no folder ") + here;
    return node;
}

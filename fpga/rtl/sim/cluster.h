// A chain of nodes on one clock: hosts that feed and drain them, and links that delay every beat by `latency` cycles and
// up to `jitter` more, in order. Every stream pauses in a share `stalls` / 256 of the cycles. A node that takes back a
// beat which it has offered breaks AXI-Stream's rule, and ends the run. When all nodes have been quiet for `rest`
// cycles they are told to stop.
#pragma once
#include <cstdio>
#include <deque>
#include <vector>

#include "nodes.h"

struct Settings {
    uint64_t seed = 1, latency = 1, jitter = 0, stalls = 0, limit = 100000000, rest = 0;
    int64_t drop_link = -1, drop_frame = 0, drop_count = 0;  // link i: nodes i and i + 1; its upward frames are counted
};

struct Beat {
    uint32_t data;
    bool last;
    uint64_t due;  // cycle from which on it may be offered
};

struct Source {  // what is fed to a node
    std::deque<Beat> beats;
    bool offered = false;
};

struct Sink {  // what a node offers
    bool pending = false;
    uint32_t data = 0;
    bool last = false;
};

struct Link {
    Source up, down;
    int64_t frames = 0;
};

class Cluster {
  public:
    std::vector<Node *> nodes;
    std::vector<Source> host_in;
    std::vector<std::vector<Beat>> host_out;
    uint64_t cycle = 0;

    Cluster(std::vector<Node *> given, Settings with) : nodes(given), set(with), random(with.seed * 2 + 1) {
        host_in.resize(nodes.size()), host_out.resize(nodes.size()), links.resize(nodes.size());
        sinks.resize(3 * nodes.size());
        for (auto node : nodes) {
            for (auto pin : {node->stop, node->reset_n, node->awaddr, node->awvalid, node->wvalid, node->bready,
                             node->araddr, node->arvalid, node->rready})
                *pin = 0;
            for (auto in : {&node->host_in, &node->below_in, &node->above_in}) *in->valid = *in->last = 0;
            for (auto out : {&node->host_out, &node->below_out, &node->above_out}) *out->ready = 0;
        }
        for (int n = 0; n < 64; n++)
            for (int level = 0; level < 2; level++)
                for (auto node : nodes) *node->clock = level, node->eval();
        for (auto node : nodes) *node->reset_n = 1;
    }

    void write(size_t n, uint8_t address, uint32_t value) {
        Node &node = *nodes[n];
        *node.awaddr = address, *node.wdata = value, *node.awvalid = *node.wvalid = *node.bready = 1;
        for (bool taken = false; !taken; tick()) {
            node.eval();
            taken = *node.awready && *node.wready;
        }
        *node.awvalid = *node.wvalid = 0;
        while (*node.bvalid) tick();
    }

    uint32_t read(size_t n, uint8_t address) {
        Node &node = *nodes[n];
        *node.araddr = address, *node.arvalid = 1, *node.rready = 0;
        for (bool taken = false; !taken; tick()) {
            node.eval();
            taken = *node.arready;
        }
        *node.arvalid = 0, *node.rready = 1;
        uint32_t value = *node.rdata;
        tick();
        return value;
    }

    void tick() {
        if (++cycle > set.limit) throw std::string("no end in ") + std::to_string(set.limit) + " cycles";
        bool stop = set.rest && quiet_for >= set.rest;
        for (size_t n = 0; n < nodes.size(); n++) {
            Node &node = *nodes[n];
            offer(host_in[n], node.host_in);
            if (n > 0) offer(links[n - 1].up, node.below_in);
            offer(links[n].down, node.above_in);
            for (auto out : {&node.host_out, &node.below_out, &node.above_out}) *out->ready = !paused();
            *node.stop = stop;
            *node.clock = 0;
            node.eval();
        }
        bool quiet = true;
        for (auto node : nodes) quiet = quiet && *node->quiet;
        quiet_for = quiet && !stop ? quiet_for + 1 : 0;
        for (size_t n = 0; n < nodes.size(); n++) {
            Node &node = *nodes[n];
            settle(host_in[n], node.host_in);
            if (n > 0) settle(links[n - 1].up, node.below_in);
            settle(links[n].down, node.above_in);
            Beat beat;
            if (taken(node.host_out, sinks[3 * n], beat)) host_out[n].push_back(beat);
            if (taken(node.below_out, sinks[3 * n + 1], beat) && n > 0) links[n - 1].down.beats.push_back(beat);
            if (taken(node.above_out, sinks[3 * n + 2], beat)) {
                Link &link = links[n];
                bool dropped = int64_t(n) == set.drop_link && link.frames >= set.drop_frame &&
                               link.frames < set.drop_frame + set.drop_count;
                if (!dropped) link.up.beats.push_back(beat);
                if (beat.last) link.frames++;
            }
        }
        for (auto node : nodes) {
            *node->clock = 1;
            node->eval();
        }
    }

  private:
    Settings set;
    uint64_t random, quiet_for = 0;
    std::vector<Link> links;
    std::vector<Sink> sinks;

    uint32_t draw() {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        return uint32_t(random >> 32);
    }
    bool paused() { return set.stalls && (draw() & 255) < set.stalls; }

    void offer(Source &source, Stream &stream) {
        bool there = !source.beats.empty() && source.beats.front().due <= cycle;
        source.offered = there && (source.offered || !paused());
        *stream.valid = source.offered;
        if (source.offered) *stream.data = source.beats.front().data, *stream.last = source.beats.front().last;
    }
    void settle(Source &source, Stream &stream) {
        if (source.offered && *stream.ready) source.beats.pop_front(), source.offered = false;
    }
    bool taken(Stream &stream, Sink &sink, Beat &beat) {
        bool valid = *stream.valid;
        if (sink.pending && (!valid || *stream.data != sink.data || bool(*stream.last) != sink.last))
            throw std::string("a beat was taken back");
        sink = {valid && !*stream.ready, *stream.data, bool(*stream.last)};
        beat = {*stream.data, bool(*stream.last), cycle + set.latency + (set.jitter ? draw() % (set.jitter + 1) : 0)};
        return valid && *stream.ready;
    }
};

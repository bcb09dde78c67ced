// Runs jobs on a chain of nodes. Standard input and output are 32-bit words.
//   in   of every job, of every node: CTRL, count, that many beats of its host
//   out  of every job, of every node: STATUS, ERROR, CYCLES, STATIC, SETTLE, BUSY, count, that many beats; TLAST must be
//        on the last of them alone
// Arguments name=value: seed, latency, jitter, stalls, limit, rest, drop_link, drop_frame, drop_count, and registers
// beta, timeout, free_steps, nudged_steps.
#include <cstdlib>
#include <cstring>
#include <map>

#include "cluster.h"

std::vector<Node *> make_nodes(const std::string &folder);  // of this build

static bool get(uint32_t &word) { return fread(&word, 4, 1, stdin) == 1; }
static void put(uint32_t word) { fwrite(&word, 4, 1, stdout); }

static void job(Cluster &cluster, uint32_t control) {
    size_t count = cluster.nodes.size();
    std::vector<uint32_t> controls(count);
    for (size_t n = 0; n < count; n++) {
        uint32_t beats = 0, data = 0;
        if (n > 0 && !get(control)) throw std::string("the job is cut off");
        if (!get(beats)) throw std::string("the job is cut off");
        controls[n] = control;
        for (uint32_t beat = 0; beat < beats; beat++) {
            if (!get(data)) throw std::string("the job is cut off");
            cluster.host_in[n].beats.push_back({data, beat + 1 == beats, 0});
        }
        cluster.host_out[n].clear();
    }
    for (size_t n = 0; n < count; n++) cluster.write(n, 0x04, controls[n]);
    for (size_t n = 0; n < count; n++)
        while (cluster.read(n, 0x08) & 1) {}
    for (size_t n = 0; n < count; n++) {
        for (int address : {0x08, 0x0C, 0x24, 0x28, 0x2C, 0x30}) put(cluster.read(n, address));
        auto &out = cluster.host_out[n];
        bool failed = cluster.read(n, 0x08) & 4;
        if (!failed && !cluster.host_in[n].beats.empty()) throw std::string("beats of the host are left over");
        put(out.size());
        for (size_t beat = 0; beat < out.size(); beat++) {
            if (!failed && out[beat].last != (beat + 1 == out.size())) throw std::string("TLAST is at a wrong beat");
            put(out[beat].data);
        }
    }
}

int main(int argc, char **argv) {
    std::string folder(argv[0]);
    folder.erase(folder.rfind('/') + 1);
    Settings set;
    std::map<std::string, int64_t> registers;
    for (int n = 1; n < argc; n++) {
        char *equals = strchr(argv[n], '=');
        if (!equals) return 2;
        std::string name(argv[n], equals);
        int64_t value = atoll(equals + 1);
        if (name == "seed") set.seed = value;
        else if (name == "latency") set.latency = value;
        else if (name == "jitter") set.jitter = value;
        else if (name == "stalls") set.stalls = value;
        else if (name == "limit") set.limit = value;
        else if (name == "rest") set.rest = value;
        else if (name == "drop_link") set.drop_link = value;
        else if (name == "drop_frame") set.drop_frame = value;
        else if (name == "drop_count") set.drop_count = value;
        else registers[name] = value;
    }
    Verilated::randReset(2);  // nothing may depend on what memories hold before they are written
    Verilated::randSeed(int(set.seed % 1000000 + 1));
    try {
        Cluster cluster(make_nodes(folder), set);
        for (size_t n = 0; n < cluster.nodes.size(); n++) {
            while (cluster.read(n, 0x08) & 1) {}
            if (cluster.read(n, 0x00) != 0x4D455001) throw std::string("a node does not say its name");
            if (registers.count("beta")) cluster.write(n, 0x18, registers["beta"]);
            if (registers.count("free_steps")) cluster.write(n, 0x10, registers["free_steps"]);
            if (registers.count("nudged_steps")) cluster.write(n, 0x14, registers["nudged_steps"]);
            if (registers.count("timeout")) cluster.write(n, 0x1C, registers["timeout"]);
        }
        for (uint32_t control = 0; get(control);) job(cluster, control);
    } catch (const std::string &why) {
        fprintf(stderr, "error: %s\n", why.c_str());
        return 1;
    }
    return 0;
}

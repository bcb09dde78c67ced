// The test bench of one node: runs the jobs of a file and compares every word with the answers of the specification's
// oracle. `bench JOBS ANSWERS` ends with 0 if all agree, with 1 if not, with 2 if a file or a stream is at fault.

#include <exception>
#include <fstream>
#include <iostream>

#include "call.h"
#include "jobs.h"

static long compared = 0, wrong = 0;

static void compare(int job, const char *stream, const jobs::words &found, const jobs::words &expected) {
    const std::size_t count = found.size() > expected.size() ? found.size() : expected.size();
    for (std::size_t i = 0; i < count; i++) {
        const std::string a = i < found.size() ? found[i] : "nothing";
        const std::string b = i < expected.size() ? expected[i] : "nothing";
        compared++;
        if (a != b && wrong++ < 10) {
            std::cout << "job " << job << ", " << stream << ", word " << i << ": " << a << ", expected " << b << '\n';
        }
    }
}

static int run(std::istream &given, std::istream &expected) {
    mep::words_t in("in"), out("out");
    mep::words_t below_in("below_in"), below_out("below_out"), above_in("above_in"), above_out("above_out");
    int job = 0;
    for (; jobs::more(given); job++) {
        const jobs::Job asked = jobs::read_job(given);
        const jobs::Answer answer = jobs::read_answer(expected);
        jobs::push(in, asked.in);
        jobs::push(below_in, asked.below);
        jobs::push(above_in, asked.above);
        const int status = call(in, out, below_in, below_out, above_in, above_out, asked);
        compare(job, "status", jobs::words(1, std::to_string(status)),
                jobs::words(1, std::to_string(answer.status)));
        compare(job, "out", jobs::drain(out), answer.out);
        compare(job, "below_out", jobs::drain(below_out), answer.below);
        compare(job, "above_out", jobs::drain(above_out), answer.above);
    }
    std::cout << job << " jobs, " << compared << " words compared, " << wrong << " differ\n";
    return wrong || !compared;
}

int main(int count, char **names) {
    if (count != 3) {
        std::cerr << "usage: bench JOBS ANSWERS\n";
        return 2;
    }
    std::ifstream given(names[1]), expected(names[2]);
    if (!given || !expected) {
        std::cerr << "bench: cannot read " << names[given ? 2 : 1] << '\n';
        return 2;
    }
    try {
        return run(given, expected);
    } catch (const std::exception &fault) {
        std::cerr << "bench: " << fault.what() << '\n';
        return 2;
    }
}

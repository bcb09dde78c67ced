// Jobs and answers as text: of a job its settings and the words of its streams, of an answer the status and the words.
//
//     job OPERATION FLAGS FREE_STEPS NUDGED_STEPS BETA      answer STATUS
//     in COUNT WORDS                                        out COUNT WORDS
//     below COUNT WORDS                                     below COUNT WORDS
//     above COUNT WORDS                                     above COUNT WORDS
//
// A word is a decimal number; a point behind it stands for TLAST. `below` and `above` are frames of neighbours.

#ifndef MEP_JOBS_H
#define MEP_JOBS_H

#include <istream>
#include <ostream>
#include <stdexcept>
#include <string>
#include <vector>

#include "mep_ep.h"

namespace jobs {

typedef std::vector<std::string> words;

struct Job {
    int operation, flags, free_steps, nudged_steps, beta;
    words in, below, above;
};

struct Answer {
    int status;
    words out, below, above;
};

inline void expect(std::istream &file, const char *key) {
    std::string found;
    if (!(file >> found) || found != key) {
        throw std::runtime_error(std::string("jobs: expected '") + key + "', found '" + found + "'");
    }
}

inline words read_words(std::istream &file, const char *key) {
    expect(file, key);
    std::size_t count = 0;
    file >> count;
    words found;
    for (std::string word; found.size() < count && file >> word;) {
        found.push_back(word);
    }
    if (found.size() != count) {
        throw std::runtime_error(std::string("jobs: too few words behind '") + key + "'");
    }
    return found;
}

inline bool more(std::istream &file) {
    return bool(file >> std::ws) && !file.eof();
}

inline Job read_job(std::istream &file) {
    Job job;
    expect(file, "job");
    if (!(file >> job.operation >> job.flags >> job.free_steps >> job.nudged_steps >> job.beta)) {
        throw std::runtime_error("jobs: five numbers must follow 'job'");
    }
    job.in = read_words(file, "in");
    job.below = read_words(file, "below");
    job.above = read_words(file, "above");
    return job;
}

inline Answer read_answer(std::istream &file) {
    Answer answer;
    expect(file, "answer");
    file >> answer.status;
    answer.out = read_words(file, "out");
    answer.below = read_words(file, "below");
    answer.above = read_words(file, "above");
    return answer;
}

inline void write_words(std::ostream &file, const char *key, const words &found) {
    file << key << ' ' << found.size();
    for (std::size_t i = 0; i < found.size(); i++) {
        file << ' ' << found[i];
    }
    file << '\n';
}

inline void write_answer(std::ostream &file, const Answer &answer) {
    file << "answer " << answer.status << '\n';
    write_words(file, "out", answer.out);
    write_words(file, "below", answer.below);
    write_words(file, "above", answer.above);
}

// Into a stream, and all that has come out of one.
inline void push(mep::words_t &stream, const words &given) {
    for (std::size_t i = 0; i < given.size(); i++) {
        mep::send(stream, mep::word_t(std::stoi(given[i])), given[i].back() == '.');
    }
}

inline words drain(mep::words_t &stream) {
    words found;
    while (!stream.empty()) {
        const mep::beat_t beat = stream.read();
        found.push_back(std::to_string(beat.data.to_int()) + (beat.last ? "." : ""));
    }
    return found;
}

} // namespace jobs

#endif

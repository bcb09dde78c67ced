// C simulation of all nodes of a model in one process: a thread for each node, streams for the links between them.
// `cluster JOBS...`: a file of jobs for each node; prints the answers of the first node, then of the second ... .

#include <exception>
#include <fstream>
#include <iostream>
#include <memory>
#include <thread>

#include "calls.h"
#include "jobs.h"

struct Worker {
    std::ifstream file;
    std::vector<jobs::Answer> answers;
    std::string fault;
};

struct Link {
    mep::words_t up, down;
    explicit Link(const std::string &where) : up((where + ", upward").c_str()), down((where + ", downward").c_str()) {}
};

static void work(int node, Worker &worker, Link &below, Link &above) {
    mep::words_t in("in"), out("out");
    try {
        while (jobs::more(worker.file)) {
            const jobs::Job job = jobs::read_job(worker.file);
            jobs::push(in, job.in);
            jobs::Answer answer;
            answer.status = calls[node](in, out, below.up, below.down, above.down, above.up, job);
            answer.out = jobs::drain(out);
            worker.answers.push_back(answer);
        }
    } catch (const std::exception &fault) {
        worker.fault = fault.what();
    }
}

int main(int count, char **names) {
    if (count != NODES + 1) {
        std::cerr << "cluster: " << NODES << " files of jobs are needed\n";
        return 2;
    }
    std::vector<std::unique_ptr<Link>> links;
    for (int cut = 0; cut <= NODES; cut++) { // the outer two lead nowhere
        links.emplace_back(new Link("the link below node " + std::to_string(cut)));
    }
    std::vector<Worker> workers(NODES);
    std::vector<std::thread> threads;
    for (int node = 0; node < NODES; node++) {
        workers[node].file.open(names[node + 1]);
        threads.emplace_back(work, node, std::ref(workers[node]), std::ref(*links[node]), std::ref(*links[node + 1]));
    }
    for (auto &thread : threads) {
        thread.join();
    }
    bool failed = false;
    for (int node = 0; node < NODES; node++) {
        if (!workers[node].fault.empty()) {
            std::cerr << "error: node " << node << ": " << workers[node].fault << '\n';
            failed = true;
        }
        for (const auto &answer : workers[node].answers) {
            jobs::write_answer(std::cout, answer);
        }
    }
    return failed;
}

// Stands in for the vendor's hls::stream where that is not installed: a FIFO that threads may share.
//
// Without a bound, as in the vendor's C simulation. A read that nothing comes for ends with an exception.

#ifndef MEP_STANDIN_HLS_STREAM_H
#define MEP_STANDIN_HLS_STREAM_H

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <stdexcept>
#include <string>

namespace hls {

template <class T>
class stream {
  public:
    explicit stream(const char *name = "stream") : name_(name) {}
    stream(const stream &) = delete;
    stream &operator=(const stream &) = delete;

    T read() {
        std::unique_lock<std::mutex> hold(lock_);
        if (!arrived_.wait_for(hold, std::chrono::seconds(PATIENCE_S), [this] { return !held_.empty(); })) {
            throw std::runtime_error(name_ + ": nothing came for " + std::to_string(PATIENCE_S) + " s");
        }
        T value = held_.front();
        held_.pop_front();
        return value;
    }

    void write(const T &value) {
        {
            std::lock_guard<std::mutex> hold(lock_);
            held_.push_back(value);
        }
        arrived_.notify_one();
    }

    bool empty() {
        std::lock_guard<std::mutex> hold(lock_);
        return held_.empty();
    }

  private:
    static constexpr int PATIENCE_S = 20;
    std::string name_;
    std::mutex lock_;
    std::condition_variable arrived_;
    std::deque<T> held_;
};

} // namespace hls

#endif

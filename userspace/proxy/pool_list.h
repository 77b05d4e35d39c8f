// Lists through links inside their elements, and objects that are used again: what pools need to allocate nothing.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

namespace sluice::proxy {

// One place in a list; an element has one base of it for each list that it can be in (`Tag` tells them apart). Leaves
// its list by itself when destroyed.
template <int Tag>
class Link {
  public:
    Link() = default;
    ~Link() { unlink(); }
    Link(const Link&) = delete;
    Link& operator=(const Link&) = delete;

    bool linked() const { return next_ != this; }
    void unlink() {
        next_->previous_ = previous_;
        previous_->next_ = next_;
        next_ = previous_ = this;
    }

  private:
    template <typename, int>
    friend class List;
    Link* next_ = this;
    Link* previous_ = this;
};

// Owns nothing. Elements that are still in it when it is destroyed are in none afterwards.
template <typename T, int Tag>
class List {
  public:
    bool empty() const { return !end_.linked(); }
    T* front() { return empty() ? nullptr : element(end_.next_); }
    T* back() { return empty() ? nullptr : element(end_.previous_); }
    // The element behind one of this list; null: it is the last.
    T* after(T& t) {
        Link<Tag>* next = static_cast<Link<Tag>&>(t).next_;
        return next == &end_ ? nullptr : element(next);
    }
    void push_back(T& t) {
        Link<Tag>& link = t;
        link.unlink();
        link.next_ = &end_;
        link.previous_ = end_.previous_;
        end_.previous_->next_ = &link;
        end_.previous_ = &link;
    }
    // Takes over all elements of another; this one is empty before.
    void take(List& other) {
        if (!other.empty()) {
            other.end_.next_->previous_ = other.end_.previous_->next_ = &end_;
            end_.next_ = other.end_.next_;
            end_.previous_ = other.end_.previous_;
            other.end_.next_ = other.end_.previous_ = &other.end_;
        }
    }

  private:
    static T* element(Link<Tag>* link) { return static_cast<T*>(link); }
    Link<Tag> end_;
};

// Keeps what was given back for the next who asks. With AddressSanitizer it frees it, so that late uses are seen.
template <typename T>
class Reused {
  public:
    T* get() {
        if (free_.empty()) {
            return new T;
        }
        T* t = free_.back().release();
        free_.pop_back();
        return t;
    }
    void put(T* t) {
#ifdef __SANITIZE_ADDRESS__
        delete t;
#else
        free_.emplace_back(t);
#endif
    }

  private:
    std::vector<std::unique_ptr<T>> free_;
};

}  // namespace sluice::proxy

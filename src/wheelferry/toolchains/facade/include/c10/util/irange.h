// c10::irange: the integers of a half-open range, for range-based loops.
#pragma once

#include <cstddef>
#include <iterator>
#include <type_traits>

#include <wheelferry/error.h>

namespace wheelferry WHEELFERRY_HIDDEN {

template <typename Integer>
class IntegerRange {
 public:
  class Iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = Integer;
    using difference_type = std::ptrdiff_t;
    using pointer = const Integer*;
    using reference = Integer;
    explicit Iterator(Integer value) : value_(value) {}
    Integer operator*() const {
      return value_;
    }
    Iterator& operator++() {
      ++value_;
      return *this;
    }
    Iterator operator++(int) {
      Iterator before = *this;
      ++value_;
      return before;
    }
    bool operator==(const Iterator& other) const {
      return value_ == other.value_;
    }
    bool operator!=(const Iterator& other) const {
      return value_ != other.value_;
    }

   private:
    Integer value_;
  };

  IntegerRange(Integer first, Integer end) : first_(first), end_(end < first ? first : end) {}
  Iterator begin() const {
    return Iterator(first_);
  }
  Iterator end() const {
    return Iterator(end_);
  }

 private:
  Integer first_;
  Integer end_;
};

} // namespace wheelferry

namespace c10 {
template <typename Integer>
wheelferry::IntegerRange<Integer> irange(Integer end) {
  return {Integer{0}, end};
}
template <typename First, typename Integer>
wheelferry::IntegerRange<Integer> irange(First first, Integer end) {
  return {static_cast<Integer>(first), end};
}
} // namespace c10

// Python objects under pybind11's names: handle, object, str, list, dict ..., and the exceptions.
#pragma once

#include <Python.h>

#include <cstddef>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

using ssize_t = Py_ssize_t;

#define WHEELFERRY_LOCAL __attribute__((visibility("hidden")))
#ifdef _WIN32
#undef WHEELFERRY_LOCAL
#define WHEELFERRY_LOCAL
#endif

namespace pybind11 WHEELFERRY_LOCAL {

class object;
class str;
class iterator;

// The Python error that is set, taken over: restore() gives it back.
class error_already_set : public std::exception {
 public:
  error_already_set() {
    PyErr_Fetch(&type_, &value_, &trace_);
    PyErr_NormalizeException(&type_, &value_, &trace_);
  }
  error_already_set(const error_already_set& other) : type_(other.type_), value_(other.value_), trace_(other.trace_) {
    for (PyObject* one : {type_, value_, trace_}) Py_IncRef(one);
  }
  error_already_set& operator=(const error_already_set&) = delete;
  ~error_already_set() override {
    for (PyObject* one : {type_, value_, trace_}) Py_DecRef(one);
  }
  void restore() {
    PyErr_Restore(std::exchange(type_, nullptr), std::exchange(value_, nullptr), std::exchange(trace_, nullptr));
  }
  bool matches(PyObject* type) const {
    return type_ && PyErr_GivenExceptionMatches(type_, type);
  }
  const char* what() const noexcept override;

 private:
  PyObject* type_ = nullptr;
  PyObject* value_ = nullptr;
  PyObject* trace_ = nullptr;
  mutable std::string text_;
};

// Exceptions that become one of Python's own.
class builtin_exception : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
  virtual PyObject* kind() const = 0;
  void set_error() const {
    PyErr_SetString(kind(), what());
  }
};
#define WHEELFERRY_EXCEPTION(name, python)              \
  class name : public builtin_exception {               \
   public:                                              \
    using builtin_exception::builtin_exception;         \
    name() : builtin_exception("") {}                   \
    PyObject* kind() const override {                   \
      return python;                                    \
    }                                                   \
  };
WHEELFERRY_EXCEPTION(stop_iteration, PyExc_StopIteration)
WHEELFERRY_EXCEPTION(index_error, PyExc_IndexError)
WHEELFERRY_EXCEPTION(key_error, PyExc_KeyError)
WHEELFERRY_EXCEPTION(value_error, PyExc_ValueError)
WHEELFERRY_EXCEPTION(type_error, PyExc_TypeError)
WHEELFERRY_EXCEPTION(buffer_error, PyExc_BufferError)
WHEELFERRY_EXCEPTION(import_error, PyExc_ImportError)
WHEELFERRY_EXCEPTION(attribute_error, PyExc_AttributeError)
WHEELFERRY_EXCEPTION(cast_error, PyExc_RuntimeError)
WHEELFERRY_EXCEPTION(reference_cast_error, PyExc_RuntimeError)
#undef WHEELFERRY_EXCEPTION

namespace detail {

inline bool has_flag(PyObject* object, unsigned int flag) {
  return object && (PyType_GetFlags(Py_TYPE(object)) & flag);
}
inline bool is_of(PyObject* object, PyTypeObject* type) {
  return object && PyType_IsSubtype(Py_TYPE(object), type);
}
// What a call that returns a new object gave; raises the error that it set.
inline PyObject* given(PyObject* result) {
  if (!result) {
    throw error_already_set();
  }
  return result;
}
inline void done(int result) {
  if (result < 0) {
    throw error_already_set();
  }
}

struct by_attribute;
struct by_item;
template <typename Kind>
class accessor;

// What can be asked of an object, however it is held.
template <typename Derived>
class object_api {
 public:
  accessor<by_attribute> attr(const char* name) const;
  accessor<by_attribute> attr(const object& name) const;
  template <typename Key>
  accessor<by_item> operator[](const Key& key) const;
  template <typename... Args>
  object operator()(Args&&... args) const;
  template <typename T>
  bool contains(const T& item) const;
  iterator begin() const;
  iterator end() const;
  bool is_none() const {
    return pointer() == Py_None;
  }
  template <typename Other>
  bool is(const object_api<Other>& other) const {
    return pointer() == static_cast<const Other&>(other).ptr();
  }
  template <typename Other>
  bool equal(const object_api<Other>& other) const {
    const int same = PyObject_RichCompareBool(pointer(), static_cast<const Other&>(other).ptr(), Py_EQ);
    done(same);
    return same == 1;
  }
  object get_type() const;

 private:
  PyObject* pointer() const {
    return static_cast<const Derived&>(*this).ptr();
  }
};

} // namespace detail

// A borrowed reference.
class handle : public detail::object_api<handle> {
 public:
  handle() = default;
  handle(PyObject* pointer) : pointer_(pointer) {}
  PyObject* ptr() const {
    return pointer_;
  }
  const handle& inc_ref() const& {
    Py_IncRef(pointer_);
    return *this;
  }
  const handle& dec_ref() const& {
    Py_DecRef(pointer_);
    return *this;
  }
  explicit operator bool() const {
    return pointer_ != nullptr;
  }
  template <typename T>
  T cast() const;

 protected:
  PyObject* pointer_ = nullptr;
};

// A reference of its own.
class object : public handle {
 public:
  struct borrowed_t {};
  struct stolen_t {};
  object() = default;
  object(handle other, borrowed_t) : handle(other) {
    inc_ref();
  }
  object(handle other, stolen_t) : handle(other) {}
  object(const object& other) : handle(other) {
    inc_ref();
  }
  object(object&& other) noexcept : handle(std::exchange(other.pointer_, nullptr)) {}
  object& operator=(object other) noexcept {
    std::swap(pointer_, other.pointer_);
    return *this;
  }
  ~object() {
    dec_ref();
  }
  handle release() {
    return std::exchange(pointer_, nullptr);
  }
};

template <typename T>
T reinterpret_borrow(handle other) {
  return T(other, object::borrowed_t{});
}
template <typename T>
T reinterpret_steal(handle other) {
  return T(other, object::stolen_t{});
}

namespace detail {

inline object steal(PyObject* result) {
  return object(given(result), object::stolen_t{});
}

struct by_attribute {
  using key = object;
  static object get(handle of, const object& key) {
    return steal(PyObject_GetAttr(of.ptr(), key.ptr()));
  }
  static void set(handle of, const object& key, handle value) {
    Py_ssize_t size = 0;
    const char* name = PyUnicode_AsUTF8AndSize(key.ptr(), &size);
    done(name ? PyObject_SetAttrString(of.ptr(), name, value.ptr()) : -1);
  }
};
struct by_item {
  static object get(handle of, const object& key) {
    return steal(PyObject_GetItem(of.ptr(), key.ptr()));
  }
  static void set(handle of, const object& key, handle value) {
    done(PyObject_SetItem(of.ptr(), key.ptr(), value.ptr()));
  }
};

// `o.attr("name")` and `o[key]`: looked up when used, written when assigned to.
template <typename Kind>
class accessor : public object_api<accessor<Kind>> {
 public:
  accessor(handle of, object key) : of_(of, object::borrowed_t{}), key_(std::move(key)) {}
  accessor(const accessor&) = default;
  PyObject* ptr() const {
    return value().ptr();
  }
  operator object() const {
    return value();
  }
  void operator=(const accessor& other) && {
    Kind::set(of_, key_, other.value());
  }
  template <typename T>
  void operator=(T&& value) &&;
  template <typename T>
  T cast() const {
    return value().template cast<T>();
  }

 private:
  const object& value() const {
    if (!value_) {
      value_ = Kind::get(of_, key_);
    }
    return value_;
  }
  object of_;
  object key_;
  mutable object value_;
};

} // namespace detail

// The types of Python: made from what is of that type already, or by converting it.
#define WHEELFERRY_CONSTRUCTORS(name, check, convert)                                                             \
  static bool check_(handle other) {                                                                              \
    return other.ptr() && (check);                                                                                \
  }                                                                                                               \
  name(handle other, borrowed_t) : object(other, borrowed_t{}) {}                                                 \
  name(handle other, stolen_t) : object(other, stolen_t{}) {}                                                     \
  name(const object& other) : object(converted(other)) {}                                                         \
  template <typename Kind>                                                                                        \
  name(const detail::accessor<Kind>& other) : name(object(other)) {}                                              \
  static object converted(const object& other) {                                                                  \
    return check_(other) ? other : detail::steal(convert);                                                        \
  }

inline PyObject* refuse(const char* wanted, handle found) {
  const object text(detail::given(PyObject_Repr(found.ptr())), object::stolen_t{});
  Py_ssize_t size = 0;
  const char* shown = PyUnicode_AsUTF8AndSize(text.ptr(), &size);
  PyErr_SetString(PyExc_TypeError, (std::string("not a ") + wanted + ": " + (shown ? shown : "?")).c_str());
  return nullptr;
}

class str : public object {
 public:
  WHEELFERRY_CONSTRUCTORS(
      str, detail::has_flag(other.ptr(), Py_TPFLAGS_UNICODE_SUBCLASS), PyObject_Str(other.ptr()))
  str(std::string_view text = "") : object(detail::steal(PyUnicode_FromStringAndSize(text.data(), text.size()))) {}
  str(const char* text) : str(std::string_view(text)) {}
  str(const std::string& text) : str(std::string_view(text)) {}
  explicit str(handle other) : object(detail::steal(PyObject_Str(other.ptr()))) {}
  operator std::string() const {
    Py_ssize_t size = 0;
    const char* text = PyUnicode_AsUTF8AndSize(ptr(), &size);
    if (!text) {
      throw error_already_set();
    }
    return {text, static_cast<size_t>(size)};
  }
  template <typename... Args>
  str format(Args&&... args) const;
};

class bytes : public object {
 public:
  WHEELFERRY_CONSTRUCTORS(bytes, detail::has_flag(other.ptr(), Py_TPFLAGS_BYTES_SUBCLASS), refuse("bytes", other))
  bytes(std::string_view data = "") : object(detail::steal(PyBytes_FromStringAndSize(data.data(), data.size()))) {}
  operator std::string() const {
    char* data = nullptr;
    Py_ssize_t size = 0;
    detail::done(PyBytes_AsStringAndSize(ptr(), &data, &size));
    return {data, static_cast<size_t>(size)};
  }
};

class none : public object {
 public:
  WHEELFERRY_CONSTRUCTORS(none, other.is_none(), refuse("None", other))
  none() : object(Py_None, borrowed_t{}) {}
};

class bool_ : public object {
 public:
  WHEELFERRY_CONSTRUCTORS(
      bool_, other.ptr() == Py_True || other.ptr() == Py_False, PyBool_FromLong(PyObject_IsTrue(other.ptr()) == 1))
  bool_(bool value = false) : object(value ? Py_True : Py_False, borrowed_t{}) {}
  operator bool() const {
    return ptr() == Py_True;
  }
};

class int_ : public object {
 public:
  WHEELFERRY_CONSTRUCTORS(int_, detail::has_flag(other.ptr(), Py_TPFLAGS_LONG_SUBCLASS), PyNumber_Long(other.ptr()))
  template <typename T = int, std::enable_if_t<std::is_integral_v<T>, int> = 0>
  int_(T value = 0)
      : object(detail::steal(
            std::is_signed_v<T> ? PyLong_FromLongLong(static_cast<long long>(value))
                                : PyLong_FromUnsignedLongLong(static_cast<unsigned long long>(value)))) {}
  template <typename T, std::enable_if_t<std::is_integral_v<T>, int> = 0>
  operator T() const {
    return cast<T>();
  }
};

class float_ : public object {
 public:
  WHEELFERRY_CONSTRUCTORS(float_, detail::is_of(other.ptr(), &PyFloat_Type), PyNumber_Float(other.ptr()))
  float_(double value = 0) : object(detail::steal(PyFloat_FromDouble(value))) {}
  operator double() const {
    return PyFloat_AsDouble(ptr());
  }
};

class tuple : public object {
 public:
  WHEELFERRY_CONSTRUCTORS(
      tuple, detail::has_flag(other.ptr(), Py_TPFLAGS_TUPLE_SUBCLASS), PySequence_Tuple(other.ptr()))
  explicit tuple(size_t size = 0) : object(detail::steal(PyTuple_New(static_cast<Py_ssize_t>(size)))) {}
  size_t size() const {
    return static_cast<size_t>(PyTuple_Size(ptr()));
  }
  bool empty() const {
    return size() == 0;
  }
};
class args : public tuple {
 public:
  using tuple::tuple;
};

class list : public object {
 public:
  WHEELFERRY_CONSTRUCTORS(list, detail::has_flag(other.ptr(), Py_TPFLAGS_LIST_SUBCLASS), PySequence_List(other.ptr()))
  explicit list(size_t size = 0) : object(detail::steal(PyList_New(static_cast<Py_ssize_t>(size)))) {}
  size_t size() const {
    return static_cast<size_t>(PyObject_Size(ptr()));
  }
  bool empty() const {
    return size() == 0;
  }
  template <typename T>
  void append(T&& value) const;
};

class dict : public object {
 public:
  WHEELFERRY_CONSTRUCTORS(
      dict, detail::has_flag(other.ptr(), Py_TPFLAGS_DICT_SUBCLASS), refuse("dict", other))
  dict() : object(detail::steal(PyDict_New())) {}
  // dict("name"_a = value, ...)
  template <typename... Named, std::enable_if_t<(sizeof...(Named) > 0) && (Named::is_named && ...), int> = 0>
  explicit dict(Named&&... named);
  size_t size() const {
    return static_cast<size_t>(PyDict_Size(ptr()));
  }
  bool empty() const {
    return size() == 0;
  }
};
class kwargs : public dict {
 public:
  using dict::dict;
};

class set : public object {
 public:
  WHEELFERRY_CONSTRUCTORS(
      set, detail::is_of(other.ptr(), &PySet_Type) || detail::is_of(other.ptr(), &PyFrozenSet_Type),
      PySet_New(other.ptr()))
  set() : object(detail::steal(PySet_New(nullptr))) {}
  size_t size() const {
    return static_cast<size_t>(PyObject_Size(ptr()));
  }
  template <typename T>
  void add(T&& value) const;
};

class sequence : public object {
 public:
  WHEELFERRY_CONSTRUCTORS(sequence, PySequence_Check(other.ptr()), refuse("sequence", other))
  size_t size() const {
    return static_cast<size_t>(PyObject_Size(ptr()));
  }
};

class iterable : public object {
 public:
  WHEELFERRY_CONSTRUCTORS(
      iterable, PyObject_HasAttrString(other.ptr(), "__iter__"), refuse("iterable", other))
};

class function : public object {
 public:
  WHEELFERRY_CONSTRUCTORS(function, PyCallable_Check(other.ptr()), refuse("callable", other))
};

class capsule : public object {
 public:
  WHEELFERRY_CONSTRUCTORS(capsule, detail::is_of(other.ptr(), &PyCapsule_Type), refuse("capsule", other))
};

class iterator : public object {
 public:
  iterator() = default;
  explicit iterator(object of) : object(std::move(of)) {
    ++*this;
  }
  iterator& operator++() {
    item_ = object(PyIter_Next(ptr()), object::stolen_t{});
    if (!item_ && PyErr_Occurred()) {
      throw error_already_set();
    }
    return *this;
  }
  const object& operator*() const {
    return item_;
  }
  friend bool operator!=(const iterator& a, const iterator& b) {
    return a.item_.ptr() != b.item_.ptr();
  }

 private:
  object item_;
};

inline const char* error_already_set::what() const noexcept {
  PyObject* shown = value_ ? PyObject_Str(value_) : nullptr;
  Py_ssize_t size = 0;
  const char* text = shown ? PyUnicode_AsUTF8AndSize(shown, &size) : nullptr;
  text_ = text ? text : "an error of Python";
  PyErr_Clear();
  Py_DecRef(shown);
  return text_.c_str();
}

inline size_t len(handle of) {
  const Py_ssize_t size = PyObject_Size(of.ptr());
  detail::done(size < 0 ? -1 : 0);
  return static_cast<size_t>(size);
}
template <typename Kind>
size_t len(const detail::accessor<Kind>& of) {
  return len(handle(of.ptr()));
}
inline bool hasattr(handle of, const char* name) {
  return PyObject_HasAttrString(of.ptr(), name) == 1;
}
inline object getattr(handle of, const char* name) {
  return detail::steal(PyObject_GetAttrString(of.ptr(), name));
}
inline object getattr(handle of, const char* name, handle otherwise) {
  return hasattr(of, name) ? getattr(of, name) : reinterpret_borrow<object>(otherwise);
}
inline void setattr(handle of, const char* name, handle value) {
  detail::done(PyObject_SetAttrString(of.ptr(), name, value.ptr()));
}
inline bool isinstance(handle one, handle type) {
  const int is = PyObject_IsInstance(one.ptr(), type.ptr());
  detail::done(is);
  return is == 1;
}
inline str repr(handle of) {
  return reinterpret_steal<str>(detail::given(PyObject_Repr(of.ptr())));
}

namespace detail {

template <typename Derived>
accessor<by_attribute> object_api<Derived>::attr(const char* name) const {
  return {pointer(), steal(PyUnicode_InternFromString(name))};
}
template <typename Derived>
accessor<by_attribute> object_api<Derived>::attr(const object& name) const {
  return {pointer(), name};
}
template <typename Derived>
iterator object_api<Derived>::begin() const {
  return iterator(steal(PyObject_GetIter(pointer())));
}
template <typename Derived>
iterator object_api<Derived>::end() const {
  return {};
}
template <typename Derived>
object object_api<Derived>::get_type() const {
  return steal(PyObject_Type(pointer()));
}

} // namespace detail

} // namespace pybind11

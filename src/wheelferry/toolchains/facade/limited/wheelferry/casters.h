// Values between C++ and Python: one type_caster for each C++ type, under pybind11's names.
//
// load(source, convert) says whether the Python object is such a value; where several functions share a name, each
// is first tried with convert = false. cast(value, policy, parent) makes a new Python object.
#pragma once

#include <wheelferry/objects.h>

#include <array>
#include <complex>
#include <deque>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace pybind11 WHEELFERRY_LOCAL {

enum class return_value_policy {
  automatic, automatic_reference, take_ownership, copy, move, reference, reference_internal
};

namespace detail {

// The name of a type in messages.
struct const_name {
  const char* text;
  constexpr explicit const_name(const char* name) : text(name) {}
};
template <typename T, typename = void>
class type_caster;  // classes.h has it for what class_<T> registers

template <typename T>
using intrinsic = std::remove_cv_t<std::remove_pointer_t<std::remove_reference_t<T>>>;
template <typename T>
using make_caster = type_caster<intrinsic<T>>;

template <typename Caster>
auto described(int) -> decltype(Caster::describe()) {
  return Caster::describe();
}
template <typename Caster>
std::string described(...) {
  return Caster::name.text;
}
// How messages call the type.
template <typename T>
std::string type_name() {
  return described<make_caster<T>>(0);
}

// A caster that holds the value itself.
#define PYBIND11_TYPE_CASTER(type, text)           \
 public:                                           \
  using holds = type;                              \
  static constexpr auto name = text;               \
  type value{};                                    \
  type* pointer() {                                \
    return &value;                                 \
  }                                                \
  type* present() {                                \
    return &value;                                 \
  }

// What a function that takes an `Arg` is given out of its caster.
template <typename Arg, typename Caster>
decltype(auto) take(Caster& caster) {
  using Plain = std::remove_reference_t<Arg>;
  if constexpr (std::is_pointer_v<Plain>) {
    return static_cast<std::remove_cv_t<Plain>>(caster.pointer());
  } else if constexpr (std::is_lvalue_reference_v<Arg>) {
    return static_cast<Arg>(*caster.present());
  } else if constexpr (requires { typename Caster::belongs_to_python; }) {
    return static_cast<const Plain&>(*caster.present());
  } else {
    return std::move(*caster.present());
  }
}

// ----------------------------------------------------------------- numbers

template <typename T>
constexpr bool is_whole = std::is_integral_v<T> && !std::is_same_v<T, bool> && !std::is_same_v<T, char>;

template <typename T>
class type_caster<T, std::enable_if_t<is_whole<T>>> {
  PYBIND11_TYPE_CASTER(T, const_name("int"));

  bool load(handle source, bool convert) {
    if (!source || is_of(source.ptr(), &PyFloat_Type)) {
      return false;
    }
    if (has_flag(source.ptr(), Py_TPFLAGS_LONG_SUBCLASS)) {
      return read(source.ptr());
    }
    if (!convert && !PyIndex_Check(source.ptr())) {
      return false;
    }
    object number(PyNumber_Index(source.ptr()), object::stolen_t{});
    if (!number) {
      PyErr_Clear();
      if (!convert || !PyNumber_Check(source.ptr())) {
        return false;
      }
      number = object(PyNumber_Long(source.ptr()), object::stolen_t{});
      PyErr_Clear();
    }
    return number && read(number.ptr());
  }
  static handle cast(T number, return_value_policy, handle) {
    if constexpr (std::is_signed_v<T>) {
      return PyLong_FromLongLong(number);
    } else {
      return PyLong_FromUnsignedLongLong(number);
    }
  }

 private:
  // False for a number that the type cannot hold.
  bool read(PyObject* number) {
    using Wide = std::conditional_t<std::is_signed_v<T>, long long, unsigned long long>;
    Wide wide;
    if constexpr (std::is_signed_v<T>) {
      wide = PyLong_AsLongLong(number);
    } else {
      wide = PyLong_AsUnsignedLongLong(number);
    }
    if (wide == static_cast<Wide>(-1) && PyErr_Occurred()) {
      PyErr_Clear();
      return false;
    }
    value = static_cast<T>(wide);
    return wide >= static_cast<Wide>(std::numeric_limits<T>::min()) &&
        wide <= static_cast<Wide>(std::numeric_limits<T>::max());
  }
};

template <typename T>
class type_caster<T, std::enable_if_t<std::is_floating_point_v<T>>> {
  PYBIND11_TYPE_CASTER(T, const_name("float"));

  bool load(handle source, bool convert) {
    if (!source || (!convert && !is_of(source.ptr(), &PyFloat_Type))) {
      return false;
    }
    double number = PyFloat_AsDouble(source.ptr());
    if (number == -1 && PyErr_Occurred()) {
      PyErr_Clear();
      const object made(
          convert && PyNumber_Check(source.ptr()) ? PyNumber_Float(source.ptr()) : nullptr, object::stolen_t{});
      PyErr_Clear();
      if (!made) {
        return false;
      }
      number = PyFloat_AsDouble(made.ptr());
    }
    value = static_cast<T>(number);
    return true;
  }
  static handle cast(T number, return_value_policy, handle) {
    return PyFloat_FromDouble(number);
  }
};

template <>
class type_caster<bool> {
  PYBIND11_TYPE_CASTER(bool, const_name("bool"));

  bool load(handle source, bool convert) {
    if (source.ptr() == Py_True || source.ptr() == Py_False) {
      value = source.ptr() == Py_True;
      return true;
    }
    if (!source || !(convert || is_numpy(source))) {
      return false;
    }
    if (!source.is_none() && !hasattr(source, "__bool__")) {
      return false;
    }
    const int truth = PyObject_IsTrue(source.ptr());
    PyErr_Clear();
    value = truth == 1;
    return truth >= 0;
  }
  static handle cast(bool truth, return_value_policy, handle) {
    return PyBool_FromLong(truth);
  }

 private:
  static bool is_numpy(handle source) {
    const std::string type = str(source.get_type());
    return type == "<class 'numpy.bool'>" || type == "<class 'numpy.bool_'>";
  }
};

template <typename T>
class type_caster<std::complex<T>> {
  PYBIND11_TYPE_CASTER(std::complex<T>, const_name("complex"));

  bool load(handle source, bool convert) {
    if (!source || (!convert && !is_of(source.ptr(), &PyComplex_Type))) {
      return false;
    }
    value = {static_cast<T>(PyComplex_RealAsDouble(source.ptr())), static_cast<T>(PyComplex_ImagAsDouble(source.ptr()))};
    const bool is = !PyErr_Occurred();
    PyErr_Clear();
    return is;
  }
  static handle cast(const std::complex<T>& number, return_value_policy, handle) {
    return PyComplex_FromDoubles(number.real(), number.imag());
  }
};

// ----------------------------------------------------------------- texts

// str, and bytes as they are.
inline bool read_text(handle source, std::string& text) {
  Py_ssize_t size = 0;
  if (has_flag(source.ptr(), Py_TPFLAGS_UNICODE_SUBCLASS)) {
    const char* data = PyUnicode_AsUTF8AndSize(source.ptr(), &size);
    if (!data) {
      PyErr_Clear();
      return false;
    }
    text.assign(data, static_cast<size_t>(size));
    return true;
  }
  char* data = nullptr;
  if (!has_flag(source.ptr(), Py_TPFLAGS_BYTES_SUBCLASS) || PyBytes_AsStringAndSize(source.ptr(), &data, &size) < 0) {
    return false;
  }
  text.assign(data, static_cast<size_t>(size));
  return true;
}

template <>
class type_caster<std::string> {
  PYBIND11_TYPE_CASTER(std::string, const_name("str"));

  bool load(handle source, bool) {
    return read_text(source, value);
  }
  static handle cast(const std::string& text, return_value_policy, handle) {
    return PyUnicode_FromStringAndSize(text.data(), static_cast<Py_ssize_t>(text.size()));
  }
};

template <>
class type_caster<std::string_view> {
  PYBIND11_TYPE_CASTER(std::string_view, const_name("str"));

  bool load(handle source, bool) {
    const bool is = read_text(source, kept_);
    value = kept_;
    return is;
  }
  static handle cast(std::string_view text, return_value_policy, handle) {
    return PyUnicode_FromStringAndSize(text.data(), static_cast<Py_ssize_t>(text.size()));
  }

 private:
  std::string kept_;
};

// char, and const char*, which may be None.
template <>
class type_caster<char> {
 public:
  static constexpr auto name = const_name("str");
  char value = 0;

  bool load(handle source, bool convert) {
    if (source.is_none()) {
      none_ = true;
      return convert;
    }
    return read_text(source, kept_);
  }
  char* pointer() {
    return none_ ? nullptr : kept_.data();
  }
  // The one character of the text, as pybind11 has it: its code up to 255.
  char* present() {
    if (none_) {
      throw value_error("Cannot convert None to a character");
    }
    if (kept_.empty()) {
      throw value_error("Cannot convert empty string to a character");
    }
    const auto first = static_cast<unsigned char>(kept_[0]);
    const size_t length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (kept_.size() > length) {
      throw value_error("Expected a character, but multi-character string found");
    }
    if (length > 2 || (length == 2 && first > 0xc3)) {
      throw value_error("Character code point not in range(0x100)");
    }
    value = length == 1 ? kept_[0] : static_cast<char>((first << 6) | (kept_[1] & 0x3f));
    return &value;
  }
  static handle cast(const char* text, return_value_policy, handle) {
    if (!text) {
      return none().release();
    }
    return str(text).release();
  }
  static handle cast(char letter, return_value_policy, handle) {
    return PyUnicode_DecodeLatin1(&letter, 1, nullptr);
  }

 private:
  std::string kept_;
  bool none_ = false;
};

// ----------------------------------------------------------------- Python's own objects

template <typename T>
class type_caster<T, std::enable_if_t<std::is_base_of_v<handle, T>>> {
 public:
  T value = empty();

  static std::string describe() {
    return "object";
  }
  bool load(handle source, bool) {
    if (!source) {
      return false;
    }
    if constexpr (std::is_same_v<T, handle>) {
      value = source;
    } else if constexpr (std::is_same_v<T, object>) {
      value = reinterpret_borrow<object>(source);
    } else {
      if (!T::check_(source)) {
        return false;
      }
      value = reinterpret_borrow<T>(source);
    }
    return true;
  }
  T* pointer() {
    return &value;
  }
  T* present() {
    return &value;
  }
  static handle cast(const handle& source, return_value_policy, handle) {
    source.inc_ref();
    return source;
  }

 private:
  static T empty() {
    if constexpr (std::is_same_v<T, handle>) {
      return {};
    } else {
      return T(handle(), object::stolen_t{});
    }
  }
};
template <typename Kind>
class type_caster<accessor<Kind>> {
 public:
  static handle cast(const accessor<Kind>& source, return_value_policy, handle) {
    return object(source).release();
  }
};

// A new reference; raises what went wrong.
template <typename T>
object to_python(T&& value, return_value_policy policy = return_value_policy::automatic, handle parent = {}) {
  return steal(make_caster<T>::cast(std::forward<T>(value), policy, parent).ptr());
}
inline object to_python(const char* text) {
  return str(text);
}

// ----------------------------------------------------------------- containers

// The items of a list, tuple or another sequence, one after the other; false as soon as `visit` says so.
template <typename Visit>
bool each_item(handle source, const Visit& visit) {
  const auto text = Py_TPFLAGS_UNICODE_SUBCLASS | Py_TPFLAGS_BYTES_SUBCLASS;
  if (!source || !PySequence_Check(source.ptr()) || has_flag(source.ptr(), text)) {
    return false;
  }
  const object items(PySequence_Fast(source.ptr(), "not a sequence"), object::stolen_t{});
  if (!items) {
    PyErr_Clear();
    return false;
  }
  const bool is_list = has_flag(items.ptr(), Py_TPFLAGS_LIST_SUBCLASS);
  const Py_ssize_t size = PyObject_Size(items.ptr());
  for (Py_ssize_t i = 0; i < size; ++i) {
    PyObject* const found = is_list ? PyList_GetItem(items.ptr(), i) : PyTuple_GetItem(items.ptr(), i);
    if (!found) {  // what converts an item has made the list shorter
      PyErr_Clear();
      return false;
    }
    const object item(found, object::borrowed_t{});
    if (!visit(size, i, item)) {
      return false;
    }
  }
  return true;
}

template <typename Container, typename Item, bool reserves = false>
class sequence_caster {
  PYBIND11_TYPE_CASTER(Container, const_name("list"));

  static std::string describe() {
    return "list[" + type_name<Item>() + "]";
  }
  bool load(handle source, bool convert) {
    value.clear();
    return each_item(source, [&](Py_ssize_t size, Py_ssize_t, const object& item) {
      if constexpr (reserves) {
        value.reserve(static_cast<size_t>(size));
      }
      make_caster<Item> caster;
      if (!caster.load(item, convert)) {
        return false;
      }
      value.insert(value.end(), static_cast<Item>(take<Item>(caster)));
      return true;
    });
  }
  template <typename Given>
  static handle cast(Given&& items, return_value_policy policy, handle parent) {
    list result(items.size());
    Py_ssize_t next = 0;
    for (auto&& item : items) {
      PyObject* made;
      if constexpr (std::is_lvalue_reference_v<Given> || std::is_same_v<Item, bool>) {
        made = make_caster<Item>::cast(static_cast<const Item&>(item), policy, parent).ptr();
      } else {
        made = make_caster<Item>::cast(std::move(item), policy, parent).ptr();
      }
      done(PyList_SetItem(result.ptr(), next++, given(made)));
    }
    return result.release();
  }
};
template <typename T, typename A>
class type_caster<std::vector<T, A>> : public sequence_caster<std::vector<T, A>, T, true> {};
template <typename T, typename A>
class type_caster<std::deque<T, A>> : public sequence_caster<std::deque<T, A>, T> {};
template <typename T, typename A>
class type_caster<std::list<T, A>> : public sequence_caster<std::list<T, A>, T> {};

template <typename T, size_t count>
class type_caster<std::array<T, count>> {
  using Array = std::array<T, count>;
  PYBIND11_TYPE_CASTER(Array, const_name("list"));

  static std::string describe() {
    return "list[" + type_name<T>() + "] of " + std::to_string(count);
  }
  bool load(handle source, bool convert) {
    bool fits = count == 0;
    return each_item(source, [&](Py_ssize_t size, Py_ssize_t i, const object& item) {
      make_caster<T> caster;
      fits = static_cast<size_t>(size) == count && caster.load(item, convert);
      if (fits) {
        value[static_cast<size_t>(i)] = take<T>(caster);
      }
      return fits;
    }) && fits;
  }
  static handle cast(const std::array<T, count>& items, return_value_policy policy, handle parent) {
    list result(count);
    for (size_t i = 0; i < count; ++i) {
      done(PyList_SetItem(result.ptr(), static_cast<Py_ssize_t>(i), to_python(items[i], policy, parent).release().ptr()));
    }
    return result.release();
  }
};

template <typename Map, typename Key, typename Item>
class map_caster {
  PYBIND11_TYPE_CASTER(Map, const_name("dict"));

  static std::string describe() {
    return "dict[" + type_name<Key>() + ", " + type_name<Item>() + "]";
  }
  bool load(handle source, bool convert) {
    if (!dict::check_(source)) {
      return false;
    }
    value.clear();
    // a copy: converting a value may run Python code that changes the original
    const object items = steal(PyDict_Copy(source.ptr()));
    Py_ssize_t place = 0;
    PyObject *key = nullptr, *item = nullptr;
    while (PyDict_Next(items.ptr(), &place, &key, &item)) {
      make_caster<Key> key_caster;
      make_caster<Item> item_caster;
      if (!key_caster.load(key, convert) || !item_caster.load(item, convert)) {
        return false;
      }
      value.emplace(take<Key>(key_caster), take<Item>(item_caster));
    }
    return true;
  }
  static handle cast(const Map& items, return_value_policy policy, handle parent) {
    dict result;
    for (const auto& [key, item] : items) {
      done(PyObject_SetItem(
          result.ptr(), to_python(key, policy, parent).ptr(), to_python(item, policy, parent).ptr()));
    }
    return result.release();
  }
};
template <typename K, typename T, typename C, typename A>
class type_caster<std::map<K, T, C, A>> : public map_caster<std::map<K, T, C, A>, K, T> {};
template <typename K, typename T, typename H, typename E, typename A>
class type_caster<std::unordered_map<K, T, H, E, A>> : public map_caster<std::unordered_map<K, T, H, E, A>, K, T> {};

template <typename Set, typename Item>
class set_caster {
  PYBIND11_TYPE_CASTER(Set, const_name("set"));

  static std::string describe() {
    return "set[" + type_name<Item>() + "]";
  }
  bool load(handle source, bool convert) {
    if (!set::check_(source)) {
      return false;
    }
    value.clear();
    const list items{reinterpret_borrow<object>(source)};
    return each_item(items, [&](Py_ssize_t, Py_ssize_t, const object& item) {
      make_caster<Item> caster;
      const bool is = caster.load(item, convert);
      if (is) {
        value.insert(take<Item>(caster));
      }
      return is;
    });
  }
  static handle cast(const Set& items, return_value_policy policy, handle parent) {
    set result;
    for (const auto& item : items) {
      done(PySet_Add(result.ptr(), to_python(item, policy, parent).ptr()));
    }
    return result.release();
  }
};
template <typename T, typename C, typename A>
class type_caster<std::set<T, C, A>> : public set_caster<std::set<T, C, A>, T> {};
template <typename T, typename H, typename E, typename A>
class type_caster<std::unordered_set<T, H, E, A>> : public set_caster<std::unordered_set<T, H, E, A>, T> {};

template <typename Tuple, typename... Each>
class tuple_caster {
  PYBIND11_TYPE_CASTER(Tuple, const_name("tuple"));

  static std::string describe() {
    std::string text;
    ((text += (text.empty() ? "" : ", ") + type_name<Each>()), ...);
    return "tuple[" + text + "]";
  }
  bool load(handle source, bool convert) {
    if (!source || !PySequence_Check(source.ptr()) || PyObject_Size(source.ptr()) != sizeof...(Each)) {
      PyErr_Clear();
      return false;
    }
    const tuple items{reinterpret_borrow<object>(source)};
    return load_each(items, convert, std::index_sequence_for<Each...>());
  }
  template <typename Given>
  static handle cast(Given&& items, return_value_policy policy, handle parent) {
    return cast_each(items, policy, parent, std::index_sequence_for<Each...>());
  }

 private:
  template <size_t... I>
  bool load_each(const tuple& items, bool convert, std::index_sequence<I...>) {
    std::tuple<make_caster<Each>...> casters;
    if (!(std::get<I>(casters).load(PyTuple_GetItem(items.ptr(), I), convert) && ...)) {
      return false;
    }
    value = Tuple(take<Each>(std::get<I>(casters))...);
    return true;
  }
  template <typename Given, size_t... I>
  static handle cast_each(Given& items, return_value_policy policy, handle parent, std::index_sequence<I...>) {
    tuple result(sizeof...(Each));
    (done(PyTuple_SetItem(result.ptr(), I, to_python(std::get<I>(items), policy, parent).release().ptr())), ...);
    return result.release();
  }
};
template <typename... Each>
class type_caster<std::tuple<Each...>> : public tuple_caster<std::tuple<Each...>, Each...> {};
template <typename A, typename B>
class type_caster<std::pair<A, B>> : public tuple_caster<std::pair<A, B>, A, B> {};

template <typename T>
class type_caster<std::optional<T>> {
  PYBIND11_TYPE_CASTER(std::optional<T>, const_name("object"));

  static std::string describe() {
    return type_name<T>() + " | None";
  }
  bool load(handle source, bool convert) {
    value.reset();
    if (source.is_none()) {
      return true;
    }
    make_caster<T> caster;
    if (!caster.load(source, convert)) {
      return false;
    }
    value.emplace(take<T>(caster));
    return true;
  }
  static handle cast(const std::optional<T>& held, return_value_policy policy, handle parent) {
    return held ? to_python(*held, policy, parent).release() : none().release();
  }
};
template <>
class type_caster<std::nullopt_t> {
 public:
  static handle cast(std::nullopt_t, return_value_policy, handle) {
    return none().release();
  }
};

// ----------------------------------------------------------------- a value out of an object

template <typename T>
T from_python(handle source) {
  if constexpr (std::is_base_of_v<object, T>) {
    return T(reinterpret_borrow<object>(source));  // converts, as int(...) and list(...) do
  } else {
    make_caster<T> caster;
    if (!caster.load(source, true)) {
      const std::string type = str(source.get_type());
      throw cast_error("Unable to cast Python instance of type " + type + " to C++ type '" + type_name<T>() + "'");
    }
    static_assert(!std::is_same_v<T, const char*>, "take a std::string: the text would be gone");
    return static_cast<T>(take<T>(caster));
  }
}

template <typename Key>
object key_of(const Key& key) {
  if constexpr (std::is_convertible_v<const Key&, std::string_view>) {
    return str(std::string_view(key));
  } else {
    return to_python(key);
  }
}
template <typename Derived>
template <typename Key>
accessor<by_item> object_api<Derived>::operator[](const Key& key) const {
  return {pointer(), key_of(key)};
}
template <typename Derived>
template <typename T>
bool object_api<Derived>::contains(const T& item) const {
  const int has = PySequence_Contains(pointer(), key_of(item).ptr());
  done(has);
  return has == 1;
}
template <typename Kind>
template <typename T>
void accessor<Kind>::operator=(T&& value) && {
  Kind::set(of_, key_, to_python(std::forward<T>(value)));
}

} // namespace detail

template <typename T>
T handle::cast() const {
  return detail::from_python<T>(*this);
}
template <typename T, std::enable_if_t<!std::is_base_of_v<handle, std::remove_reference_t<T>>, int> = 0>
object cast(T&& value, return_value_policy policy = return_value_policy::automatic_reference, handle parent = {}) {
  return detail::to_python(std::forward<T>(value), policy, parent);
}
template <typename T>
T cast(handle source) {
  return detail::from_python<T>(source);
}
template <typename T>
bool isinstance(handle one) {
  if constexpr (std::is_base_of_v<object, T> && !std::is_same_v<T, object>) {
    return T::check_(one);
  } else {
    return detail::make_caster<T>().load(one, false);
  }
}
template <typename T>
void list::append(T&& value) const {
  detail::done(PyList_Append(ptr(), detail::to_python(std::forward<T>(value)).ptr()));
}
template <typename T>
void set::add(T&& value) const {
  detail::done(PySet_Add(ptr(), detail::to_python(std::forward<T>(value)).ptr()));
}
template <typename... Args>
tuple make_tuple(Args&&... args) {
  tuple result(sizeof...(Args));
  Py_ssize_t next = 0;
  (detail::done(
       PyTuple_SetItem(result.ptr(), next++, detail::to_python(std::forward<Args>(args)).release().ptr())),
   ...);
  return result;
}

} // namespace pybind11

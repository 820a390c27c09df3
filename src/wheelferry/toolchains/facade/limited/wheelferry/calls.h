// C++ functions as Python's, and Python's called from C++.
#pragma once

#include <wheelferry/casters.h>

#include <functional>

namespace pybind11 WHEELFERRY_LOCAL {

class arg_v;

// "name"_a, py::arg("name"), with a default value by `=`.
class arg {
 public:
  constexpr explicit arg(const char* name = nullptr) : name(name) {}
  template <typename T>
  arg_v operator=(T&& value) const;
  arg& noconvert(bool flag = true) {
    converts = !flag;
    return *this;
  }
  arg& none(bool flag = true) {
    accepts_none = flag;
    return *this;
  }
  const char* name;
  bool converts = true;
  bool accepts_none = true;
};
class arg_v : public arg {
 public:
  static constexpr bool is_named = true;
  arg_v(arg base, object value) : arg(base), value(std::move(value)) {}
  object value;
};
template <typename T>
arg_v arg::operator=(T&& value) const {
  return {*this, detail::to_python(std::forward<T>(value))};
}
namespace literals {
constexpr arg operator""_a(const char* name, size_t) {
  return arg(name);
}
} // namespace literals

// One of several C++ functions of a name: overload_cast<int>(&f), overload_cast<int>(&T::f, const_).
template <typename... Params>
struct overload_cast_impl {
  template <typename Result>
  constexpr auto operator()(Result (*function)(Params...)) const {
    return function;
  }
  template <typename Result, typename Class>
  constexpr auto operator()(Result (Class::*member)(Params...), std::false_type = {}) const {
    return member;
  }
  template <typename Result, typename Class>
  constexpr auto operator()(Result (Class::*member)(Params...) const, std::true_type) const {
    return member;
  }
};
template <typename... Params>
constexpr overload_cast_impl<Params...> overload_cast{};
constexpr auto const_ = std::true_type{};

// What functions are registered with beside their arguments.
struct name { const char* value; };
struct scope { handle value; };
struct is_method { handle value; };
struct sibling { handle value; };
struct doc { const char* value; };
struct kw_only {};
struct pos_only {};
struct is_operator {};
struct module_local { explicit constexpr module_local(bool = true) {} };
struct dynamic_attr {};
template <typename... Guards>
struct call_guard {};
template <size_t, size_t>
struct keep_alive {};

class gil_scoped_release {
 public:
  gil_scoped_release() : state_(PyEval_SaveThread()) {}
  gil_scoped_release(const gil_scoped_release&) = delete;
  ~gil_scoped_release() {
    PyEval_RestoreThread(state_);
  }

 private:
  PyThreadState* state_;
};
class gil_scoped_acquire {
 public:
  gil_scoped_acquire() : state_(PyGILState_Ensure()) {}
  gil_scoped_acquire(const gil_scoped_acquire&) = delete;
  ~gil_scoped_acquire() {
    PyGILState_Release(state_);
  }

 private:
  int state_;
};

namespace detail {

struct Parameter {
  std::string name;
  std::string type;
  object otherwise;
  bool converts = true;
  bool accepts_none = true;
};

// The arguments of one call, in the order of the parameters; `extra` and `named` are for py::args, py::kwargs.
struct Call {
  std::vector<handle> given;
  tuple extra;
  dict named;
  bool converts = false;
};

// One C++ function behind a Python name; `next` has the same name and other parameters.
class Function {
 public:
  virtual ~Function() = default;
  // A new reference; null where an argument does not fit, with no error set.
  virtual PyObject* call(Call& call) = 0;

  std::string name, text, result;
  std::vector<Parameter> parameters;
  return_value_policy policy = return_value_policy::automatic;
  bool takes_args = false, takes_kwargs = false, is_constructor = false;
  size_t keywords_from = SIZE_MAX, positions_to = 0;
  std::unique_ptr<Function> next;

  std::string signature() const {
    std::string shown;
    for (const Parameter& one : parameters) {
      shown += (shown.empty() ? "" : ", ") + one.name + ": " + one.type;
      if (one.otherwise) {
        shown += " = " + static_cast<std::string>(repr(one.otherwise));
      }
    }
    shown += takes_args ? (shown.empty() ? "*args" : ", *args") : "";
    shown += takes_kwargs ? (shown.empty() ? "**kwargs" : ", **kwargs") : "";
    return "(" + shown + ") -> " + result;
  }
};

// Sorts the values of a call into the function's parameters; false where they do not fit.
inline bool arrange(const Function& function, handle values, handle named, Call& call) {
  const size_t count = static_cast<size_t>(PyTuple_Size(values.ptr()));
  const size_t wanted = function.parameters.size();
  if (count > std::min(wanted, function.keywords_from) && !function.takes_args) {
    return false;
  }
  size_t used = 0;
  for (size_t i = 0; i < wanted; ++i) {
    const Parameter& parameter = function.parameters[i];
    handle value;
    if (i < count && i < function.keywords_from) {
      value = PyTuple_GetItem(values.ptr(), static_cast<Py_ssize_t>(i));
      if (named && PyDict_GetItemString(named.ptr(), parameter.name.c_str()) && i >= function.positions_to) {
        return false;  // given twice
      }
    } else if (named && i >= function.positions_to) {
      value = PyDict_GetItemString(named.ptr(), parameter.name.c_str());
      used += value ? 1 : 0;
    }
    if (!value) {
      value = parameter.otherwise;
    }
    if (!value || (value.is_none() && !parameter.accepts_none)) {
      return false;
    }
    call.given.push_back(value);
  }
  const size_t in_order = std::min(count, std::min(wanted, function.keywords_from));
  if (function.takes_args) {
    call.extra = reinterpret_steal<tuple>(
        given(PyTuple_GetSlice(values.ptr(), static_cast<Py_ssize_t>(in_order), static_cast<Py_ssize_t>(count))));
  }
  if (!function.takes_kwargs) {
    return !named || used == static_cast<size_t>(PyDict_Size(named.ptr()));
  }
  Py_ssize_t place = 0;
  PyObject *key = nullptr, *item = nullptr;
  while (named && PyDict_Next(named.ptr(), &place, &key, &item)) {
    const std::string name = reinterpret_borrow<str>(key);
    bool known = false;
    for (const Parameter& parameter : function.parameters) {
      known = known || parameter.name == name;
    }
    if (!known) {
      done(PyObject_SetItem(call.named.ptr(), key, item));
    }
  }
  return true;
}

// Sets Python's error for what is being thrown.
inline void set_error() noexcept {
  try {
    throw;
  } catch (error_already_set& error) {
    error.restore();
  } catch (const builtin_exception& error) {
    error.set_error();
  } catch (const std::bad_alloc& error) {
    PyErr_SetString(PyExc_MemoryError, error.what());
  } catch (const std::invalid_argument& error) {
    PyErr_SetString(PyExc_ValueError, error.what());
  } catch (const std::domain_error& error) {
    PyErr_SetString(PyExc_ValueError, error.what());
  } catch (const std::length_error& error) {
    PyErr_SetString(PyExc_ValueError, error.what());
  } catch (const std::out_of_range& error) {
    PyErr_SetString(PyExc_IndexError, error.what());
  } catch (const std::range_error& error) {
    PyErr_SetString(PyExc_ValueError, error.what());
  } catch (const std::overflow_error& error) {
    PyErr_SetString(PyExc_OverflowError, error.what());
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  } catch (...) {
    PyErr_SetString(PyExc_RuntimeError, "Caught an unknown exception!");
  }
}

inline void set_mismatch(const Function& first, handle values) {
  std::string text = first.name + "(): incompatible " + (first.is_constructor ? "constructor" : "function") +
      " arguments. The following argument types are supported:\n";
  int number = 1;
  for (const Function* one = &first; one; one = one->next.get()) {
    text += "    " + std::to_string(number++) + ". " + one->signature() + "\n";
  }
  text += "\nInvoked with types: ";
  for (Py_ssize_t i = 0; i < PyTuple_Size(values.ptr()); ++i) {
    const object type = handle(PyTuple_GetItem(values.ptr(), i)).get_type();
    text += (i ? ", " : "") + static_cast<std::string>(str(type.attr("__name__")));
  }
  PyErr_SetString(PyExc_TypeError, text.c_str());
}

// Calls the first of the functions that takes the values; null with an error set.
inline PyObject* dispatch(Function& first, handle values, handle named) noexcept {
  try {
    for (const bool converts : {false, true}) {
      if (!converts && !first.next) {
        continue;  // with a single function there is nothing to choose
      }
      for (Function* one = &first; one; one = one->next.get()) {
        Call call;
        call.converts = converts;
        if (!arrange(*one, values, named, call)) {
          continue;
        }
        try {
          PyObject* result = one->call(call);
          if (result || PyErr_Occurred()) {
            return result;
          }
        } catch (const reference_cast_error&) {
          continue;  // None where a C++ reference is wanted
        }
      }
    }
    set_mismatch(first, values);
  } catch (...) {
    set_error();
  }
  return nullptr;
}

template <typename T>
constexpr bool is_rest = std::is_base_of_v<args, intrinsic<T>> || std::is_base_of_v<kwargs, intrinsic<T>>;

// `Guard` is made before the C++ function is called, with its arguments read, and gone when it returns.
template <typename Callable, typename Guard, typename Result, typename... Params>
class Bound : public Function {
 public:
  explicit Bound(Callable callable) : callable_(std::move(callable)) {
    (add<Params>(), ...);
    if constexpr (std::is_void_v<Result>) {
      result = "None";
    } else {
      result = type_name<Result>();
    }
  }
  PyObject* call(Call& call) override {
    return call_each(call, std::index_sequence_for<Params...>());
  }

 private:
  template <typename Param>
  void add() {
    if constexpr (std::is_base_of_v<args, intrinsic<Param>>) {
      takes_args = true;
    } else if constexpr (std::is_base_of_v<kwargs, intrinsic<Param>>) {
      takes_kwargs = true;
    } else {
      parameters.push_back({"arg" + std::to_string(parameters.size()), type_name<Param>(), {}, true, true});
    }
  }
  template <typename Param>
  bool load(make_caster<Param>& caster, Call& call, [[maybe_unused]] size_t& position) {
    if constexpr (std::is_base_of_v<args, intrinsic<Param>>) {
      return caster.load(call.extra, false);
    } else if constexpr (std::is_base_of_v<kwargs, intrinsic<Param>>) {
      return caster.load(call.named, false);
    } else {
      const size_t index = position++;
      return caster.load(call.given[index], call.converts && parameters[index].converts);
    }
  }
  template <size_t... I>
  PyObject* call_each([[maybe_unused]] Call& call, std::index_sequence<I...>) {
    std::tuple<make_caster<Params>...> casters;
    [[maybe_unused]] size_t position = 0;
    if (!(load<Params>(std::get<I>(casters), call, position) && ...)) {
      return nullptr;
    }
    if constexpr (std::is_void_v<Result>) {
      invoke(take<Params>(std::get<I>(casters))...);
      return none().release().ptr();
    } else {
      const handle parent = call.given.empty() ? handle() : call.given[0];
      return given(
          make_caster<Result>::cast(invoke(take<Params>(std::get<I>(casters))...), policy, parent).ptr());
    }
  }
  Result invoke(Params... values) {
    [[maybe_unused]] Guard guard;
    return callable_(std::forward<Params>(values)...);
  }
  Callable callable_;
};

// The signature of what can be called: function, pointer to a member, lambda.
template <typename T>
struct Signature : Signature<decltype(&T::operator())> {};
template <typename Result, typename... Params>
struct Signature<Result (*)(Params...)> {
  template <typename Callable, typename Guard>
  using bound = Bound<Callable, Guard, Result, Params...>;
};
template <typename Result, typename... Params>
struct Signature<Result (*)(Params...) noexcept> : Signature<Result (*)(Params...)> {};
template <typename Class, typename Result, typename... Params>
struct Signature<Result (Class::*)(Params...) const> : Signature<Result (*)(Params...)> {};
template <typename Class, typename Result, typename... Params>
struct Signature<Result (Class::*)(Params...)> : Signature<Result (*)(Params...)> {};

inline void set_option(Function& function, const arg& one, size_t& next) {
  if (next < function.parameters.size()) {
    Parameter& parameter = function.parameters[next++];
    parameter.name = one.name ? one.name : parameter.name;
    parameter.converts = one.converts;
    parameter.accepts_none = one.accepts_none;
  }
}
inline void set_option(Function& function, const arg_v& one, size_t& next) {
  const size_t index = next;
  set_option(function, static_cast<const arg&>(one), next);
  if (index < function.parameters.size()) {
    function.parameters[index].otherwise = one.value;
  }
}
inline void set_option(Function& function, const char* text, size_t&) {
  function.text = text;
}
inline void set_option(Function& function, const doc& text, size_t&) {
  function.text = text.value;
}
inline void set_option(Function& function, return_value_policy policy, size_t&) {
  function.policy = policy;
}
inline void set_option(Function& function, kw_only, size_t& next) {
  function.keywords_from = next;
}
inline void set_option(Function& function, pos_only, size_t& next) {
  function.positions_to = next;
}
template <typename... Guards>
void set_option(Function&, call_guard<Guards...>, size_t&) {}  // Guarded, below, holds them
template <typename Other>
void set_option(Function&, const Other&, size_t&) {
  static_assert(
      std::is_same_v<Other, is_operator>,
      "wheelferry's facade: of what pybind11 takes beside a function's arguments, names, defaults, a text, a "
      "return_value_policy, kw_only and pos_only are covered on Python's limited API");
}

// The guards of all call_guard<...> among the options of a function.
template <typename... Extra>
struct Guards {
  using type = std::tuple<>;
};
template <typename... Guarding, typename... Rest>
struct Guards<call_guard<Guarding...>, Rest...> {
  using type = std::tuple<Guarding...>;
};
template <typename First, typename... Rest>
struct Guards<First, Rest...> : Guards<Rest...> {};

template <typename Callable, typename... Extra>
std::unique_ptr<Function> make_function(const char* name, Callable callable, bool has_self, const Extra&... extra) {
  using Made = typename Signature<Callable>::template bound<Callable, typename Guards<Extra...>::type>;
  std::unique_ptr<Function> made = std::make_unique<Made>(std::move(callable));
  made->name = name;
  size_t next = 0;
  if (has_self && !made->parameters.empty()) {
    made->parameters[next++].name = "self";
  }
  (set_option(*made, extra, next), ...);
  return made;
}

// What Python holds of a function: the first of its name, and how Python shows it.
struct Registered {
  std::unique_ptr<Function> first;
  std::string text;
  PyMethodDef definition{};
};

inline PyObject* call_registered(PyObject* self, PyObject* values, PyObject* named) {
  auto* registered = static_cast<Registered*>(PyCapsule_GetPointer(self, "wheelferry.function"));
  return registered ? dispatch(*registered->first, values, named) : nullptr;
}

// A function of Python's own kind. Like its module it is never freed: Python may be gone before its last use.
inline object expose(std::unique_ptr<Function> first, handle module) {
  auto* const registered = new Registered{std::move(first), {}, {}};
  const Function& shown = *registered->first;
  registered->text = shown.name + shown.signature() + "\n\n" + shown.text;
  registered->definition = {
      shown.name.c_str(), reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&call_registered)),
      METH_VARARGS | METH_KEYWORDS, registered->text.c_str()};
  const object self = steal(PyCapsule_New(registered, "wheelferry.function", nullptr));
  return steal(PyCFunction_NewEx(&registered->definition, self.ptr(), module.ptr()));
}

// The functions registered under a name so far; null when there is none, or it is no function of ours.
inline Function* registered_in(handle scope, const char* name) {
  if (!hasattr(scope, name)) {
    return nullptr;
  }
  const object known = getattr(scope, name);
  if (!hasattr(known, "__self__")) {
    return nullptr;
  }
  const object self = getattr(known, "__self__");
  void* found = is_of(self.ptr(), &PyCapsule_Type) ? PyCapsule_GetPointer(self.ptr(), "wheelferry.function") : nullptr;
  PyErr_Clear();
  return found ? static_cast<Registered*>(found)->first.get() : nullptr;
}
inline void append(Function& first, std::unique_ptr<Function> other) {
  Function* last = &first;
  while (last->next) {
    last = last->next.get();
  }
  last->next = std::move(other);
}

// ----------------------------------------------------------------- calls of Python

struct Arguments {
  list values;
  dict named;
  template <typename T>
  void add(T&& value) {
    if constexpr (std::is_base_of_v<arg_v, std::decay_t<T>>) {
      done(PyObject_SetItem(named.ptr(), str(value.name).ptr(), value.value.ptr()));
    } else {
      values.append(std::forward<T>(value));
    }
  }
};
template <typename Derived>
template <typename... Args>
object object_api<Derived>::operator()(Args&&... args) const {
  Arguments arguments;
  (arguments.add(std::forward<Args>(args)), ...);
  const tuple values(arguments.values);
  return steal(PyObject_Call(pointer(), values.ptr(), arguments.named.ptr()));
}

} // namespace detail

template <typename... Named, std::enable_if_t<(sizeof...(Named) > 0) && (Named::is_named && ...), int>>
dict::dict(Named&&... named) : dict() {
  (detail::done(PyObject_SetItem(ptr(), str(named.name).ptr(), named.value.ptr())), ...);
}
template <typename... Args>
str str::format(Args&&... args) const {
  return attr("format")(std::forward<Args>(args)...);
}
template <typename... Args>
void print(Args&&... args) {
  detail::steal(PyImport_ImportModule("builtins")).attr("print")(std::forward<Args>(args)...);
}

} // namespace pybind11

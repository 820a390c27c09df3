// C++ classes as Python's: class_<T>, and modules.
#pragma once

#include <wheelferry/calls.h>

namespace pybind11 WHEELFERRY_LOCAL {

namespace detail {

// An instance of a registered class: the value, and what keeps it alive.
template <typename T>
struct Instance {
  PyObject_HEAD
  std::shared_ptr<T> value;
};

// What this module knows of a C++ class; `type` is null until class_<T> registers it.
template <typename T>
struct Known {
  static inline PyTypeObject* type = nullptr;
  static inline std::string* name = nullptr;
  static inline Function* constructor = nullptr;
};

template <typename T>
PyObject* new_instance(PyTypeObject* type) {
  PyObject* self = PyType_GenericAlloc(type, 0);
  if (self) {
    new (&reinterpret_cast<Instance<T>*>(self)->value) std::shared_ptr<T>();
  }
  return self;
}
template <typename T>
PyObject* tp_new(PyTypeObject* type, PyObject*, PyObject*) {
  return new_instance<T>(type);
}
template <typename T>
void tp_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  reinterpret_cast<Instance<T>*>(self)->value.~shared_ptr();
  reinterpret_cast<void (*)(void*)>(PyType_GetSlot(type, Py_tp_free))(self);
  Py_DECREF(type);
}
template <typename T>
int tp_init(PyObject* self, PyObject* values, PyObject* named) {
  Function* const constructor = Known<T>::constructor;
  if (!constructor) {
    PyErr_SetString(PyExc_TypeError, (*Known<T>::name + ": No constructor defined!").c_str());
    return -1;
  }
  object all(PyTuple_New(PyTuple_Size(values) + 1), object::stolen_t{});
  if (!all) {
    return -1;
  }
  Py_IncRef(self);
  PyTuple_SetItem(all.ptr(), 0, self);
  for (Py_ssize_t i = 0; i < PyTuple_Size(values); ++i) {
    PyObject* const value = PyTuple_GetItem(values, i);
    Py_IncRef(value);
    PyTuple_SetItem(all.ptr(), i + 1, value);
  }
  PyObject* const made = dispatch(*constructor, all, named);
  Py_DecRef(made);
  return made ? 0 : -1;
}

// A type_caster for what class_<T> registers.
template <typename T>
class class_caster {
 public:
  using belongs_to_python = void;
  static std::string describe() {
    return Known<T>::name ? *Known<T>::name : "an unregistered C++ class";
  }
  bool load(handle source, bool convert) {
    holder_ = nullptr;
    if (source && source.is_none()) {
      return convert;
    }
    if (!source || !Known<T>::type || !is_of(source.ptr(), Known<T>::type)) {
      return false;
    }
    holder_ = &reinterpret_cast<Instance<T>*>(source.ptr())->value;
    return *holder_ != nullptr;  // null where __init__ was not called
  }
  T* pointer() {
    return holder_ ? holder_->get() : nullptr;
  }
  T* present() {
    if (!holder_) {
      throw reference_cast_error("None where an instance is wanted");
    }
    return holder_->get();
  }
  std::shared_ptr<T> shared() const {
    return holder_ ? *holder_ : nullptr;
  }

  static handle wrap(std::shared_ptr<T> value) {
    if (!Known<T>::type) {
      PyErr_SetString(PyExc_TypeError, "a C++ class that is returned is not registered with class_");
      return nullptr;
    }
    PyObject* self = new_instance<T>(Known<T>::type);
    if (self) {
      reinterpret_cast<Instance<T>*>(self)->value = std::move(value);
    }
    return self;
  }
  static handle cast(T&& value, return_value_policy, handle) {
    return wrap(std::make_shared<T>(std::move(value)));
  }
  static handle cast(const T& value, return_value_policy policy, handle parent) {
    const bool refers =
        policy == return_value_policy::reference || policy == return_value_policy::reference_internal;
    if (refers) {
      return cast(&value, policy, parent);
    }
    if constexpr (std::is_copy_constructible_v<T>) {
      return wrap(std::make_shared<T>(value));
    } else {
      throw cast_error("a C++ object that cannot be copied is returned by reference");
    }
  }
  static handle cast(const T* value, return_value_policy policy, handle parent) {
    T* const changeable = const_cast<T*>(value);
    if (!value) {
      return none().release();
    }
    switch (policy) {
      case return_value_policy::automatic:
      case return_value_policy::take_ownership:
        return wrap(std::shared_ptr<T>(changeable));
      case return_value_policy::reference_internal: {
        auto* const kept = new object(parent, object::borrowed_t{});
        return wrap(std::shared_ptr<T>(changeable, [kept](T*) { delete kept; }));
      }
      case return_value_policy::copy:
      case return_value_policy::move:
        return cast(*value, return_value_policy::copy, parent);
      default:
        return wrap(std::shared_ptr<T>(changeable, [](T*) {}));
    }
  }

 private:
  std::shared_ptr<T>* holder_ = nullptr;  // that of the Python object, which outlives the call
};

template <typename T, typename Enable>
class type_caster : public class_caster<T> {
  static_assert(
      std::is_class_v<T>,
      "wheelferry's facade: this type of an argument or result is not covered on Python's limited API");
};
template <typename T>
class type_caster<std::shared_ptr<T>> : public class_caster<T> {
 public:
  std::shared_ptr<T>* present() {
    held_ = this->shared();
    return &held_;
  }
  static handle cast(const std::shared_ptr<T>& value, return_value_policy, handle) {
    return value ? class_caster<T>::wrap(value) : none().release();
  }

 private:
  std::shared_ptr<T> held_;
};
template <typename T, typename D>
class type_caster<std::unique_ptr<T, D>> {
 public:
  static std::string describe() {
    return type_name<T>();
  }
  static handle cast(std::unique_ptr<T, D>&& value, return_value_policy, handle) {
    return value ? class_caster<T>::wrap(std::shared_ptr<T>(std::move(value))) : none().release();
  }
};

// Methods: Python's own functions do not bind to an instance, so each becomes one of this type, which does.
struct Method {
  PyObject_HEAD
  PyObject* function;
};
inline PyObject* method_get(PyObject* self, PyObject* instance, PyObject*) {
  if (!instance || instance == Py_None) {
    Py_IncRef(self);
    return self;
  }
  PyObject* const types = PyImport_ImportModule("types");
  PyObject* const bind = types ? PyObject_GetAttrString(types, "MethodType") : nullptr;
  PyObject* const pair = bind ? PyTuple_New(2) : nullptr;
  PyObject* bound = nullptr;
  if (pair) {
    PyObject* const function = reinterpret_cast<Method*>(self)->function;
    Py_IncRef(function);
    Py_IncRef(instance);
    PyTuple_SetItem(pair, 0, function);
    PyTuple_SetItem(pair, 1, instance);
    bound = PyObject_Call(bind, pair, nullptr);
  }
  for (PyObject* one : {pair, bind, types}) {
    Py_DecRef(one);
  }
  return bound;
}
inline PyObject* method_call(PyObject* self, PyObject* values, PyObject* named) {
  return PyObject_Call(reinterpret_cast<Method*>(self)->function, values, named);
}
inline void method_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  Py_DecRef(reinterpret_cast<Method*>(self)->function);
  reinterpret_cast<void (*)(void*)>(PyType_GetSlot(type, Py_tp_free))(self);
  Py_DECREF(type);
}
inline object make_method(const object& function) {
  static PyType_Slot slots[] = {
      {Py_tp_call, reinterpret_cast<void*>(&method_call)},
      {Py_tp_descr_get, reinterpret_cast<void*>(&method_get)},
      {Py_tp_dealloc, reinterpret_cast<void*>(&method_dealloc)},
      {0, nullptr}};
  static PyType_Spec spec{"wheelferry.method", sizeof(Method), 0, Py_TPFLAGS_DEFAULT, slots};
  static PyObject* const type = given(PyType_FromSpec(&spec));
  const object made = steal(PyType_GenericAlloc(reinterpret_cast<PyTypeObject*>(type), 0));
  reinterpret_cast<Method*>(made.ptr())->function = object(function).release().ptr();
  return made;
}

template <typename Class, typename Result, typename Owner, typename... Params>
auto of_member(Result (Owner::*member)(Params...)) {
  return [member](Class& self, Params... values) -> Result { return (self.*member)(std::forward<Params>(values)...); };
}
template <typename Class, typename Result, typename Owner, typename... Params>
auto of_member(Result (Owner::*member)(Params...) const) {
  return [member](const Class& self, Params... values) -> Result {
    return (self.*member)(std::forward<Params>(values)...);
  };
}
template <typename Class, typename Callable>
auto of_member(Callable callable) {
  return callable;
}

// init<Args...>() and init(&factory)
template <typename... Params>
struct Constructor {
  template <typename T>
  auto function() const {
    return [](handle self, Params... values) {
      T* made;
      if constexpr (std::is_constructible_v<T, Params...>) {
        made = new T(std::forward<Params>(values)...);
      } else {
        made = new T{std::forward<Params>(values)...};
      }
      reinterpret_cast<Instance<T>*>(self.ptr())->value.reset(made);
    };
  }
};
template <typename T>
void place(handle self, T&& value) {
  using Plain = std::decay_t<T>;
  reinterpret_cast<Instance<Plain>*>(self.ptr())->value = std::make_shared<Plain>(std::move(value));
}
template <typename T>
void place(handle self, T* value) {
  reinterpret_cast<Instance<T>*>(self.ptr())->value.reset(value);
}
template <typename T>
void place(handle self, std::unique_ptr<T>&& value) {
  reinterpret_cast<Instance<T>*>(self.ptr())->value = std::move(value);
}
template <typename T>
void place(handle self, std::shared_ptr<T>&& value) {
  reinterpret_cast<Instance<T>*>(self.ptr())->value = std::move(value);
}
template <typename Factory>
struct FromFactory {
  Factory factory;
  template <typename T>
  auto function() const {
    return adapt(factory, static_cast<Signature<Factory>*>(nullptr));
  }

 private:
  template <typename Result, typename... Params>
  static auto adapt(Factory factory, Signature<Result (*)(Params...)>*) {
    return [factory](handle self, Params... values) { place(self, factory(std::forward<Params>(values)...)); };
  }
};

template <typename T>
constexpr bool is_constructor = false;
template <typename... Params>
constexpr bool is_constructor<Constructor<Params...>> = true;
template <typename Factory>
constexpr bool is_constructor<FromFactory<Factory>> = true;

} // namespace detail

template <typename... Params>
detail::Constructor<Params...> init() {
  return {};
}
template <typename Factory>
auto init(Factory factory) {
  if constexpr (std::is_function_v<std::remove_pointer_t<Factory>>) {
    return detail::FromFactory<Factory>{factory};
  } else {
    return detail::FromFactory<decltype(+factory)>{+factory};
  }
}

class module_ : public object {
 public:
  WHEELFERRY_CONSTRUCTORS(module_, detail::is_of(other.ptr(), &PyModule_Type), refuse("module", other))
  static module_ import(const char* name) {
    return reinterpret_steal<module_>(detail::given(PyImport_ImportModule(name)));
  }
  template <typename Callable, typename... Extra>
  module_& def(const char* name, Callable&& callable, const Extra&... extra) {
    auto made = detail::make_function(name, std::decay_t<Callable>(callable), false, extra...);
    if (detail::Function* const first = detail::registered_in(*this, name)) {
      detail::append(*first, std::move(made));
    } else {
      add_object(name, detail::expose(std::move(made), attr("__name__")));
    }
    return *this;
  }
  void add_object(const char* name, handle value) {
    setattr(*this, name, value);
  }
  module_ def_submodule(const char* name, const char* text = nullptr) {
    const std::string whole = static_cast<std::string>(str(attr("__name__"))) + "." + name;
    module_ made = reinterpret_borrow<module_>(detail::given(PyImport_AddModule(whole.c_str())));
    if (text) {
      made.doc() = text;
    }
    add_object(name, made);
    return made;
  }
  detail::accessor<detail::by_attribute> doc() const {
    return attr("__doc__");
  }
};
using module = module_;

// A C++ class in Python. Holders are always std::shared_ptr, whichever is named.
template <typename T, typename... Options>
class class_ : public object {
 public:
  template <typename... Extra>
  class_(handle scope, const char* name, const Extra&... extra) {
    (require_covered<Extra>(), ...);
    static_assert((!std::is_base_of_v<Options, T> && ...), "wheelferry's facade: classes with bases are not covered");
    const std::string module = str(hasattr(scope, "__module__") ? scope.attr("__module__") : scope.attr("__name__"));
    detail::Known<T>::name = new std::string(module + "." + name);
    static PyType_Slot slots[] = {
        {Py_tp_new, reinterpret_cast<void*>(&detail::tp_new<T>)},
        {Py_tp_init, reinterpret_cast<void*>(&detail::tp_init<T>)},
        {Py_tp_dealloc, reinterpret_cast<void*>(&detail::tp_dealloc<T>)},
        {0, nullptr}};
    PyType_Spec spec{
        detail::Known<T>::name->c_str(), sizeof(detail::Instance<T>), 0, Py_TPFLAGS_DEFAULT, slots};
    pointer_ = detail::given(PyType_FromSpec(&spec));
    detail::Known<T>::type = reinterpret_cast<PyTypeObject*>(object(*this).release().ptr());
    setattr(scope, name, *this);
  }
  template <typename Callable, typename... Extra>
  class_& def(const char* name, Callable callable, const Extra&... extra) {
    return add(name, detail::make_function(name, detail::of_member<T>(callable), true, extra...));
  }
  template <typename Made, typename... Extra, std::enable_if_t<detail::is_constructor<Made>, int> = 0>
  class_& def(const Made& made, const Extra&... extra) {
    auto function = detail::make_function("__init__", made.template function<T>(), true, extra...);
    function->is_constructor = true;
    if (detail::Known<T>::constructor) {
      detail::append(*detail::Known<T>::constructor, std::move(function));
    } else {
      detail::Known<T>::constructor = function.release();
    }
    return *this;
  }
  template <typename Callable, typename... Extra>
  class_& def_static(const char* name, Callable callable, const Extra&... extra) {
    const object function = detail::expose(detail::make_function(name, callable, false, extra...), {});
    setattr(*this, name, function);  // Python's own functions do not bind
    return *this;
  }
  template <typename Owner, typename Field>
  class_& def_readwrite(const char* name, Field Owner::*field) {
    return property(
        name, detail::make_function(name, [field](const T& self) -> const Field& { return self.*field; }, true),
        detail::make_function(name, [field](T& self, const Field& value) { self.*field = value; }, true));
  }
  template <typename Owner, typename Field>
  class_& def_readonly(const char* name, Field Owner::*field) {
    return property(
        name, detail::make_function(name, [field](const T& self) -> const Field& { return self.*field; }, true),
        nullptr);
  }
  template <typename Get, typename... Extra>
  class_& def_property_readonly(const char* name, Get get, const Extra&... extra) {
    return property(name, detail::make_function(name, detail::of_member<T>(get), true, extra...), nullptr);
  }
  template <typename Get, typename Set, typename... Extra>
  class_& def_property(const char* name, Get get, Set set, const Extra&... extra) {
    return property(
        name, detail::make_function(name, detail::of_member<T>(get), true, extra...),
        detail::make_function(name, detail::of_member<T>(set), true));
  }

 private:
  template <typename Extra>
  static constexpr void require_covered() {
    static_assert(
        std::is_convertible_v<Extra, const char*> || std::is_same_v<Extra, module_local>,
        "wheelferry's facade: of what class_ takes beside a name, a text is covered on Python's limited API");
  }
  class_& add(const char* name, std::unique_ptr<detail::Function> made) {
    for (auto& [known, first] : methods_) {
      if (known == name) {
        detail::append(*first, std::move(made));
        return *this;
      }
    }
    methods_.emplace_back(name, made.get());
    setattr(*this, name, detail::make_method(detail::expose(std::move(made), {})));
    return *this;
  }
  class_& property(const char* name, std::unique_ptr<detail::Function> get, std::unique_ptr<detail::Function> set) {
    object setter = none();
    if (set) {
      setter = detail::expose(std::move(set), {});
    }
    const object made = handle(reinterpret_cast<PyObject*>(&PyProperty_Type))(detail::expose(std::move(get), {}), setter);
    setattr(*this, name, made);
    return *this;
  }
  std::vector<std::pair<std::string, detail::Function*>> methods_;
};

// What is not covered says so when it is used.
#define WHEELFERRY_NOT_COVERED(name)                                                                            \
  template <typename T = void, auto...>                                                                         \
  class name {                                                                                                  \
    static_assert(                                                                                              \
        sizeof(T*) == 0,                                                                                        \
        "wheelferry's facade: pybind11::" #name " is not covered on Python's limited API");                     \
  };
WHEELFERRY_NOT_COVERED(array_t)
WHEELFERRY_NOT_COVERED(enum_)
WHEELFERRY_NOT_COVERED(exception)
#undef WHEELFERRY_NOT_COVERED

namespace detail {

// A free-threaded CPython lays out its objects in another way, and says so before anything is touched.
inline bool is_free_threaded() {
  const object sysconfig = steal(PyImport_ImportModule("sysconfig"));
  const object get = steal(PyObject_GetAttrString(sysconfig.ptr(), "get_config_var"));
  const object question = make_tuple(str("Py_GIL_DISABLED"));
  const object said = steal(PyObject_Call(get.ptr(), question.ptr(), nullptr));
  return PyObject_IsTrue(said.ptr()) == 1;
}

inline PyObject* make_module(const char* name, void (*fill)(module_&)) noexcept {
  static PyModuleDef definition{
      {{1, nullptr}, nullptr, 0, nullptr}, name, nullptr, -1, nullptr, nullptr, nullptr, nullptr, nullptr};
  constexpr int version_of_stable_abi = 3;
  try {
    if (is_free_threaded()) {
      throw import_error(std::string(name) + " is on CPython's stable ABI, which a free-threaded CPython does not have");
    }
    module_ made = reinterpret_steal<module_>(given(PyModule_Create2(&definition, version_of_stable_abi)));
    fill(made);
    return made.release().ptr();
  } catch (...) {
    set_error();
    return nullptr;
  }
}

} // namespace detail

} // namespace pybind11

#define PYBIND11_CONCAT_(a, b) a##b
#define PYBIND11_CONCAT(a, b) PYBIND11_CONCAT_(a, b)
#define PYBIND11_TOSTRING_(a) #a
#define PYBIND11_TOSTRING(a) PYBIND11_TOSTRING_(a)
#define PYBIND11_MODULE(name, variable, ...)                                                              \
  static void PYBIND11_CONCAT(wheelferry_fill_, name)(::pybind11::module_&);                              \
  PyMODINIT_FUNC PYBIND11_CONCAT(PyInit_, name)() {                                                       \
    return ::pybind11::detail::make_module(                                                               \
        PYBIND11_TOSTRING(name), &PYBIND11_CONCAT(wheelferry_fill_, name));                               \
  }                                                                                                       \
  static void PYBIND11_CONCAT(wheelferry_fill_, name)([[maybe_unused]] ::pybind11::module_ & variable)
#define PYBIND11_MAKE_OPAQUE(...) \
  static_assert(false, "wheelferry's facade: PYBIND11_MAKE_OPAQUE is not covered on Python's limited API")

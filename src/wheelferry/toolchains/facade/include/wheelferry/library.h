// TORCH_LIBRARY: operators for torch.ops.
//
// torch calls an operator through a C function that knows nothing but the stack of its values.
// Sources name a C++ function at run time (`m.def("f", &f)`), so each registered function gets
// one of a fixed number of such C functions (Slots), which finds the C++ function by its number.
#pragma once

#include <array>
#include <atomic>
#include <cstdio>
#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include <wheelferry/call.h>
#include <wheelferry/functions.h>

namespace wheelferry WHEELFERRY_HIDDEN {
namespace library {

// ----------------------------------------------------------------- the schema of a signature

template <typename T>
struct SchemaType {
  static_assert(
      sizeof(T) == 0,
      "wheelferry's facade: a function registered as an operator may have parameters and results of the types "
      "at::Tensor, int64_t, double, bool, std::string, at::Device, at::ScalarType, std::vector, at::ArrayRef and "
      "std::optional of these; int and float are refused by torch too: use int64_t and double");
};
#define WHEELFERRY_SCHEMA_TYPE(type, text)  \
  template <>                               \
  struct SchemaType<type> {                 \
    static std::string name() {             \
      return text;                          \
    }                                       \
  };
WHEELFERRY_SCHEMA_TYPE(Tensor, "Tensor")
WHEELFERRY_SCHEMA_TYPE(int64_t, "int")
WHEELFERRY_SCHEMA_TYPE(double, "float")
WHEELFERRY_SCHEMA_TYPE(bool, "bool")
WHEELFERRY_SCHEMA_TYPE(std::string, "str")
WHEELFERRY_SCHEMA_TYPE(std::string_view, "str")
WHEELFERRY_SCHEMA_TYPE(Device, "Device")
WHEELFERRY_SCHEMA_TYPE(ScalarType, "ScalarType")
#undef WHEELFERRY_SCHEMA_TYPE
template <typename T>
struct SchemaType<std::vector<T>> {
  static std::string name() {
    return SchemaType<T>::name() + "[]";
  }
};
template <typename T>
struct SchemaType<ArrayRef<T>> : SchemaType<std::vector<T>> {};
template <typename T>
struct SchemaType<std::optional<T>> {
  static std::string name() {
    return SchemaType<T>::name() + "?";
  }
};

// What an argument is kept as while the function runs that may take it by reference.
template <typename T>
struct Kept {
  using type = T;
};
template <typename T>
struct Kept<ArrayRef<T>> {
  using type = std::vector<T>;
};
template <typename T>
struct Kept<std::optional<ArrayRef<T>>> {
  using type = std::optional<std::vector<T>>;
};
template <>
struct Kept<std::string_view> {
  using type = std::string;
};
template <typename T>
using Plain = std::remove_cv_t<std::remove_reference_t<T>>;
template <typename T>
using KeptAs = typename Kept<Plain<T>>::type;

// Results named _0, _1 ... as torch names them when it infers a schema from a function.
template <typename Result>
struct Returns {
  static std::string schema() {
    return SchemaType<Plain<Result>>::name() + " _0";
  }
  static void give(StableIValue* stack, const Result& result) {
    stack[0] = Value<Plain<Result>>::give(result);
  }
};
template <>
struct Returns<void> {
  static std::string schema() {
    return "()";
  }
};
template <typename... Each>
struct Returns<std::tuple<Each...>> {
  static std::string schema() {
    std::string text;
    int number = 0;
    ((text += (number ? ", " : "") + SchemaType<Plain<Each>>::name() + " _" + std::to_string(number), ++number), ...);
    return "(" + text + ")";
  }
  static void give(StableIValue* stack, const std::tuple<Each...>& results) {
    give_each(stack, results, std::index_sequence_for<Each...>());
  }

 private:
  template <size_t... I>
  static void give_each(StableIValue* stack, const std::tuple<Each...>& results, std::index_sequence<I...>) {
    ((stack[I] = Value<Plain<Each>>::give(std::get<I>(results))), ...);
  }
};

// -------------------------------------------------------- functions behind torch's C signature

using Erased = void (*)();

template <typename Signature>
struct Kernel;

template <typename Result, typename... Params>
struct Kernel<Result(Params...)> {
  static std::string schema(const std::string& name) {
    std::string text;
    int number = 0;
    ((text += (number ? ", " : "") + SchemaType<Plain<Params>>::name() + " _" + std::to_string(number), ++number),
     ...);
    return name + "(" + text + ") -> " + Returns<Result>::schema();
  }

  static void run(Erased erased, StableIValue* stack, uint64_t inputs, uint64_t) {
    run_each(reinterpret_cast<Result (*)(Params...)>(erased), stack, inputs, std::index_sequence_for<Params...>());
  }

 private:
  template <size_t... I>
  static void run_each(
      Result (*function)(Params...), StableIValue* stack, uint64_t inputs, std::index_sequence<I...>) {
    TORCH_CHECK(
        inputs == sizeof...(Params), "the schema has ", inputs, " arguments, the function registered for it ",
        sizeof...(Params));
    // braces: taken in the order of the stack, each exactly once
    std::tuple<KeptAs<Params>...> arguments{Value<KeptAs<Params>>::take(stack[I])...};
    if constexpr (std::is_void_v<Result>) {
      function(static_cast<Params>(std::get<I>(arguments))...);
    } else {
      Returns<Plain<Result>>::give(stack, function(static_cast<Params>(std::get<I>(arguments))...));
    }
  }
};

struct Slot {
  void (*run)(Erased, StableIValue*, uint64_t, uint64_t);
  Erased function;
};

constexpr size_t kSlots = 1024;

inline std::array<Slot, kSlots>& slots() {
  static std::array<Slot, kSlots> all{};
  return all;
}

// The message outlives the exception that it comes from.
inline thread_local char message[8192];

// Whether the function ended without an exception.
__attribute__((noinline)) inline bool guarded(size_t number, StableIValue* stack, uint64_t in, uint64_t out) noexcept {
  const char* text = "an exception that is not a std::exception";
  try {
    const Slot& slot = slots()[number];
    slot.run(slot.function, stack, in, out);
    return true;
  } catch (const std::exception& error) {
    std::strncpy(message, error.what(), sizeof message - 1);
    return false;
  } catch (...) {
    std::strncpy(message, text, sizeof message - 1);
    return false;
  }
}

// Called by torch. Our exceptions end in guarded(): they are no exceptions to a torch built with
// another compiler. aoti_torch_check then throws torch's own, and on its way it finds no
// destructor or handler in these two frames, which is what lets it through on Windows.
template <size_t number>
void entry(StableIValue* stack, uint64_t inputs, uint64_t outputs) {
  if (!guarded(number, stack, inputs, outputs)) {
    aoti_torch_check(false, "operator", "wheelferry", 0, message);
  }
}

using Entry = void (*)(StableIValue*, uint64_t, uint64_t);

template <size_t... I>
constexpr std::array<Entry, sizeof...(I)> make_entries(std::index_sequence<I...>) {
  return {&entry<I>...};
}

inline Entry take_slot(const Slot& slot) {
  static constexpr auto entries = make_entries(std::make_index_sequence<kSlots>());
  static std::atomic<size_t> used{0};
  const size_t number = used++;
  TORCH_CHECK(number < kSlots, "wheelferry's facade: more than ", kSlots, " operators in one module");
  slots()[number] = slot;
  return entries[number];
}

template <typename Result, typename... Params>
Entry bind(Result (*function)(Params...)) {
  return take_slot({&Kernel<Result(Params...)>::run, reinterpret_cast<Erased>(function)});
}

template <typename Function>
constexpr auto is_plain_lambda(int) -> decltype(+std::declval<const Function&>(), true) {
  return true;
}
template <typename>
constexpr bool is_plain_lambda(...) {
  return false;
}

// &f, TORCH_FN(f) and lambdas without captures, as a pointer to a function.
template <typename Function>
auto pointer(const Function& function) {
  if constexpr (std::is_pointer_v<Function> || std::is_function_v<Function>) {
    return function;
  } else {
    static_assert(
        is_plain_lambda<Function>(0),
        "wheelferry's facade: an operator is registered by a function, &function, TORCH_FN(function) or a lambda "
        "without captures");
    return +function;
  }
}

} // namespace library

// `m` of TORCH_LIBRARY(ns, m) and TORCH_LIBRARY_IMPL(ns, key, m).
class Library {
 public:
  enum Kind { DEF, IMPL, FRAGMENT };

  Library(Kind kind, const char* ns, const char* key, const char* file, uint32_t line) {
    switch (kind) {
      case DEF: WHEELFERRY_CALL(aoti_torch_library_init_def, ns, file, line, &handle_); break;
      case IMPL: WHEELFERRY_CALL(aoti_torch_library_init_impl, ns, key, file, line, &handle_); break;
      case FRAGMENT: WHEELFERRY_CALL(aoti_torch_library_init_fragment, ns, file, line, &handle_); break;
    }
  }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;
  ~Library() {
    (void)aoti_torch_delete_library_object(handle_);
  }

  // A schema; its functions come with impl().
  Library& def(const std::string& schema) & {
    WHEELFERRY_CALL(aoti_torch_library_def, handle_, schema.c_str());
    return *this;
  }

  // A function for every backend. Where only a name is given, the schema is that of the function.
  //
  // Registered on the library of the definition, without a dispatch key, the function is what
  // torch calls CompositeImplicitAutograd: it is called for tensors that require a gradient and
  // for those that do not, and torch's operators inside it see the gradients. That is where
  // torch itself puts a function given to def().
  template <typename Function>
  Library& def(const std::string& schema, const Function& function) & {
    const auto pointer = library::pointer(function);
    const bool only_name = schema.find('(') == std::string::npos;
    def(only_name ? infer(schema, pointer) : schema);
    return impl(schema.substr(0, schema.find('(')).c_str(), pointer);
  }

  template <typename Function>
  Library& impl(const char* name, const Function& function) & {
    WHEELFERRY_CALL(
        torch_library_impl, handle_, name, library::bind(library::pointer(function)), kAbiVersion);
    return *this;
  }

#define WHEELFERRY_MISSING(name)                                                                        \
  template <typename T = void, typename... Args>                                                        \
  Library& name(Args&&...) & {                                                                          \
    static_assert(sizeof(T*) == 0, "wheelferry's facade: torch::Library::" #name " is not covered");    \
    return *this;                                                                                       \
  }
  WHEELFERRY_MISSING(fallback)
  WHEELFERRY_MISSING(class_)
  WHEELFERRY_MISSING(set_python_module)
  WHEELFERRY_MISSING(impl_abstract_pystub)
#undef WHEELFERRY_MISSING

 private:
  template <typename Result, typename... Params>
  static std::string infer(const std::string& name, Result (*)(Params...)) {
    return library::Kernel<Result(Params...)>::schema(name);
  }

  TorchLibraryHandle handle_ = nullptr;
};

namespace library {

// Runs when the module is loaded, where on Windows no exception may leave: the loader ends the
// process without a word. There the operators are missing, and stderr says why.
class Registration {
 public:
  Registration(
      Library::Kind kind, void (*fill)(Library&), const char* ns, const char* key, const char* file, uint32_t line) {
#ifdef _WIN32
    try {
      run(kind, fill, ns, key, file, line);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "The operators of torch.ops.%s are not registered: %s\n", ns, error.what());
    }
#else
    run(kind, fill, ns, key, file, line);
#endif
  }

 private:
  void run(
      Library::Kind kind, void (*fill)(Library&), const char* ns, const char* key, const char* file, uint32_t line) {
    library_ = std::make_unique<Library>(kind, ns, key, file, line);
    fill(*library_);
  }

  std::unique_ptr<Library> library_;
};

} // namespace library
} // namespace wheelferry

#define WHEELFERRY_LIBRARY(kind, ns, key, m, id)                                                                \
  static void C10_CONCATENATE(wheelferry_fill_##ns##_##key##_, id)(::wheelferry::Library&);                     \
  static const ::wheelferry::library::Registration C10_CONCATENATE(wheelferry_library_##ns##_##key##_, id)(     \
      ::wheelferry::Library::kind, &C10_CONCATENATE(wheelferry_fill_##ns##_##key##_, id), #ns, #key, __FILE__,  \
      __LINE__);                                                                                                \
  static void C10_CONCATENATE(wheelferry_fill_##ns##_##key##_, id)([[maybe_unused]] ::wheelferry::Library & m)

#define TORCH_LIBRARY(ns, m) WHEELFERRY_LIBRARY(DEF, ns, def, m, C10_UID)
#define TORCH_LIBRARY_FRAGMENT(ns, m) WHEELFERRY_LIBRARY(FRAGMENT, ns, fragment, m, C10_UID)
#define TORCH_LIBRARY_IMPL(ns, key, m) WHEELFERRY_LIBRARY(IMPL, ns, key, m, C10_UID)
#define TORCH_FN(function) (&function)
#define TORCH_SELECTIVE_NAME(name) name
#define TORCH_SELECTIVE_SCHEMA(schema) schema

namespace torch {
using wheelferry::Library;
}

// Tensors in the functions of a pybind11 module.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <wheelferry/functions.h>

namespace py = pybind11;

namespace wheelferry WHEELFERRY_HIDDEN {
namespace python {

// Attributes of torch that the casters need, looked up once and kept for the process's life.
struct Torch {
  pybind11::object tensor_class;
  pybind11::object to_pointer;
  pybind11::object from_pointers;

  Torch() {
    tensor_class = pybind11::module_::import("torch").attr("Tensor");
    const pybind11::object aoti = pybind11::module_::import("torch._C").attr("_aoti");
    to_pointer = aoti.attr("unsafe_alloc_void_ptr_from_tensor");
    // not alloc_tensor_by_stealing_from_void_ptr, which keeps a reference for ever (seen in 2.10 and 2.13)
    from_pointers = aoti.attr("alloc_tensors_by_stealing_from_void_ptrs");
  }

  static const Torch& instance() {
    static const Torch* const instance = new Torch();  // never freed: Python may be gone by then
    return *instance;
  }
};

// A new reference to the tensor of a Python object; null when it is no torch.Tensor.
inline Handle tensor_of(pybind11::handle source) {
  const Torch& torch = Torch::instance();
  if (!pybind11::isinstance(source, torch.tensor_class)) {
    return nullptr;
  }
  const pybind11::object capsule = torch.to_pointer(source);
  void* raw = PyCapsule_GetPointer(capsule.ptr(), PyCapsule_GetName(capsule.ptr()));
  if (!raw) {
    throw pybind11::error_already_set();
  }
  return abi::steal(static_cast<AtenTensorHandle>(raw));
}

// The Python object of a tensor: the very one when it has one already. None when undefined.
inline pybind11::object object_of(const Tensor& tensor) {
  if (!tensor.defined()) {
    return pybind11::none();
  }
  const AtenTensorHandle raw = abi::share(tensor.handle());
  const pybind11::object capsule = pybind11::reinterpret_steal<pybind11::object>(PyCapsule_New(raw, nullptr, nullptr));
  if (!capsule) {
    (void)aoti_torch_delete_tensor_object(raw);
    throw pybind11::error_already_set();
  }
  pybind11::list capsules;
  capsules.append(capsule);
  const pybind11::list tensors = Torch::instance().from_pointers(capsules);
  return tensors[0];
}

} // namespace python
} // namespace wheelferry

namespace pybind11::detail {

template <>
struct type_caster<wheelferry::Tensor> {
 public:
  PYBIND11_TYPE_CASTER(wheelferry::Tensor, const_name("torch.Tensor"));

  bool load(handle source, bool) {
    value = wheelferry::Tensor(wheelferry::python::tensor_of(source));
    return value.defined();
  }
  static handle cast(const wheelferry::Tensor& tensor, return_value_policy, handle) {
    return wheelferry::python::object_of(tensor).release();
  }
};

// torch.float32 and the like
template <>
struct type_caster<c10::ScalarType> {
 public:
  PYBIND11_TYPE_CASTER(c10::ScalarType, const_name("torch.dtype"));

  bool load(handle source, bool) {
    const module_ torch = module_::import("torch");
    if (!isinstance(source, torch.attr("dtype"))) {
      return false;
    }
    for (const auto& [type, name] : names) {
      if (source.is(torch.attr(name))) {
        value = type;
        return true;
      }
    }
    return false;
  }
  static handle cast(c10::ScalarType type, return_value_policy, handle) {
    for (const auto& [known, name] : names) {
      if (known == type) {
        return object(module_::import("torch").attr(name)).release();
      }
    }
    throw cast_error("a scalar type that torch's Python has no name for");
  }

 private:
  struct Name {
    c10::ScalarType type;
    const char* name;
  };
  static constexpr Name names[] = {
      {c10::ScalarType::Byte, "uint8"},       {c10::ScalarType::Char, "int8"},
      {c10::ScalarType::Short, "int16"},      {c10::ScalarType::Int, "int32"},
      {c10::ScalarType::Long, "int64"},       {c10::ScalarType::Half, "float16"},
      {c10::ScalarType::Float, "float32"},    {c10::ScalarType::Double, "float64"},
      {c10::ScalarType::Bool, "bool"},        {c10::ScalarType::BFloat16, "bfloat16"},
      {c10::ScalarType::UInt16, "uint16"},    {c10::ScalarType::UInt32, "uint32"},
      {c10::ScalarType::UInt64, "uint64"},    {c10::ScalarType::ComplexHalf, "complex32"},
      {c10::ScalarType::ComplexFloat, "complex64"}, {c10::ScalarType::ComplexDouble, "complex128"},
  };
};

} // namespace pybind11::detail

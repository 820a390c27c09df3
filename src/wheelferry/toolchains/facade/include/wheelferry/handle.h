// Shared ownership of one of torch's tensors.
#pragma once

#include <memory>
#include <utility>

#include <wheelferry/abi.h>

namespace wheelferry WHEELFERRY_HIDDEN {

// Null for an undefined tensor.
using Handle = std::shared_ptr<AtenTensorOpaque>;

namespace abi {

// Takes the one reference that `raw` stands for.
inline Handle steal(AtenTensorHandle raw) {
  // a destructor must not throw, and there is nothing to do about a tensor that is not deleted
  return Handle(raw, [](AtenTensorHandle owned) { (void)aoti_torch_delete_tensor_object(owned); });
}

// Another reference to the same tensor, for torch to keep.
inline AtenTensorHandle share(const Handle& handle) {
  AtenTensorHandle raw = nullptr;
  if (handle) {
    WHEELFERRY_CALL(aoti_torch_new_tensor_handle, handle.get(), &raw);
  } else {
    WHEELFERRY_CALL(aoti_torch_new_uninitialized_tensor, &raw);
  }
  return raw;
}

inline Handle steal_defined(AtenTensorHandle raw) {
  Handle handle = steal(raw);
  bool defined = false;
  WHEELFERRY_CALL(aoti_torch_is_defined, raw, &defined);
  return defined ? handle : Handle();
}

} // namespace abi
} // namespace wheelferry

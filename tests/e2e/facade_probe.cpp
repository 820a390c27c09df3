// What facade_checks.py calls, written as sources for torch's own headers would be.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/TensorUtils.h>
#include <c10/util/irange.h>
#include <torch/extension.h>
#include <torch/library.h>

#include <pybind11/numpy.h>

#include <numeric>

namespace {

using at::Tensor;

// ---- creation
std::vector<Tensor> created(const Tensor& like) {
  const auto doubles = torch::TensorOptions().dtype(torch::kFloat64).device(torch::kCPU);
  const std::vector<int64_t> shape{2, 3};
  return {
      at::zeros({2, 3}),
      at::zeros(shape, doubles),
      at::ones({like.size(0), 1}, like.options()),
      at::full({2}, 7, at::kInt),
      at::full({2}, 1.5),
      at::full({1}, true),
      at::zeros_like(like),
      at::ones_like(like, at::kLong),
      at::full_like(like, 2.5),
      at::empty_like(like).fill_(3),
      at::empty({0}, like.options().dtype(at::kLong)),
      at::empty({}, at::kDouble).fill_(4),
      like.new_zeros({4}),
      like.new_full({2, 2}, 9, at::kByte),
      at::empty_strided({2, 3}, {1, 2}, at::kFloat).zero_(),
      torch::tensor({1, 2, 3}),
      torch::tensor({0.5, 1.5}, torch::kFloat16),
      at::scalar_tensor(3, at::kHalf),
  };
}

// ---- what a tensor says of itself
py::dict described(const Tensor& t) {
  py::dict result;
  result["sizes"] = t.sizes().vec();
  result["strides"] = t.strides().vec();
  result["dim"] = t.dim();
  result["numel"] = t.numel();
  result["last"] = t.dim() ? t.size(-1) : -1;
  result["last stride"] = t.dim() ? t.stride(-1) : -1;
  result["offset"] = t.storage_offset();
  result["contiguous"] = t.is_contiguous();
  result["bytes"] = t.nbytes();
  result["type"] = t.scalar_type();
  result["same type"] = t.dtype() == t.scalar_type() && t.options().dtype() == t.dtype();
  result["old type"] = t.type().scalarType() == t.scalar_type() && t.type() == t.detach().type() && !t.type().is_cuda();
  result["floating"] = t.is_floating_point();
  std::ostringstream text;
  text << t.device() << " " << t.device().type() << " " << t.scalar_type() << " " << t.sizes();
  result["text"] = text.str();
  result["cpu"] = t.is_cpu() && !t.is_cuda() && t.device() == at::Device(at::kCPU) && t.device() == at::Device("cpu");
  return result;
}

// ---- rows
Tensor rows_reversed(const Tensor& t) {
  Tensor result = at::empty_like(t, t.options(), at::MemoryFormat::Contiguous);
  for (const auto i : c10::irange(t.size(0))) {
    result[i] = t[t.size(0) - 1 - i];
  }
  return result;
}
Tensor numbers(int64_t count, const Tensor& like) {
  Tensor result = at::empty({count}, like.options());
  for (int64_t i = 0; i < count; ++i) {
    result[i] = i / 2.0;
  }
  return result;
}
void first_written(const Tensor& t) {
  t.select(0, 0)[0] = 1;
}
double corner(const Tensor& t) {
  const Tensor row = t[-1];
  return t[0][0].item<double>() + row[-1].item<double>() + t[0].data_ptr<double>()[0];
}
std::vector<int64_t> row_shape(const Tensor& t) {
  auto row = t[0];
  row = t[1];
  return {row.dim(), row.size(0), row.stride(0), row.numel(), t[0].sizes().size() == 1, t.select(0, 1).dim()};
}

// ---- accessors and dispatch
Tensor doubled(const Tensor& t) {
  Tensor result = at::empty(t.sizes(), t.options());
  AT_DISPATCH_ALL_TYPES_AND2(at::kHalf, at::kBFloat16, t.type(), "doubled", [&] {
    const auto from = t.accessor<scalar_t, 2>();
    auto into = result.accessor<scalar_t, 2>();
    for (int64_t i = 0; i < from.size(0); ++i) {
      for (int64_t j = 0; j < from.size(1); ++j) {
        into[i][j] = from[i][j] + from[i][j];
      }
    }
  });
  return result;
}

int64_t parallel_sum(int64_t count, bool fail) {
  std::vector<int64_t> parts(count);
  at::parallel_for(0, count, 10, [&](int64_t first, int64_t end) {
    TORCH_CHECK(!fail, "failed in a part");
    for (int64_t i = first; i < end; ++i) {
      parts[i] = i;
    }
  });
  return std::accumulate(parts.begin(), parts.end(), int64_t{0});
}

// ---- torch's operators
std::map<std::string, Tensor> computed(const Tensor& t, const Tensor& index) {
  const auto sorted = t.sort(1, true);
  const auto stable = t.sort(std::optional<bool>(true), 0, false);
  const auto best = at::topk(t, 2, 1);
  const auto largest = t.max(1);
  return {
      {"sorted", std::get<0>(sorted)},
      {"order", std::get<1>(sorted)},
      {"stable", std::get<1>(stable)},
      {"topk", std::get<0>(best)},
      {"max", t.max()},
      {"max 1", std::get<1>(largest)},
      {"min", at::min(t)},
      {"argsort", t.argsort(0)},
      {"narrow", t.narrow(1, 1, 2)},
      {"slice", t.slice(0, 1, std::nullopt, 2)},
      {"slice end", t.slice(1, std::nullopt, -1)},
      {"select", t.select(1, 0)},
      {"view", t.view({-1})},
      {"view_as", t.view({-1}).view_as(t)},
      {"reshape_as", t.t().reshape_as(t)},
      {"index", t.index({index})},
      {"index of two", t.index({index, index})},
      {"index by a mask", t.index({t.to(at::kBool)})},
      {"mm", t.mm(t.t())},
      {"to a device", t.to(at::kCPU)},
      {"reshape", t.t().reshape({-1, 2})},
      {"permute", t.permute({1, 0})},
      {"transpose", at::transpose(t, 0, 1).contiguous()},
      {"expand", t.unsqueeze(0).expand({2, -1, -1})},
      {"squeeze", t.unsqueeze(1).squeeze(1)},
      {"flatten", t.flatten()},
      {"index_select", at::index_select(t, 0, index)},
      {"gather", t.gather(0, index.unsqueeze(1).expand({-1, t.size(1)}))},
      {"masked_select", t.masked_select(t.to(at::kBool))},
      {"nonzero", t.nonzero()},
      {"sum", t.sum()},
      {"sum 1", at::sum(t, {1}, true)},
      {"mean", t.mean()},
      {"cumsum", t.cumsum(0)},
      {"abs", t.abs()},
      {"exp", t.exp()},
      {"sigmoid", at::sigmoid(t)},
      {"mul", t.mul(t)},
      {"times", t * t[1]},
      {"divided", t[1] / t.exp()},
      {"matmul", t.matmul(t.t())},
      {"cat", at::cat({t, t}, 1)},
      {"stack", at::stack({t[0], t[1]})},
      {"where", at::where(t.to(at::kBool), t, t.exp())},
      {"half", t.to(at::kHalf)},
      {"to", t.to(index)},
      {"clone", t.clone()},
      {"copy", at::zeros_like(t).copy_(t)},
      {"at", t[index[0].item<int64_t>()]},
  };
}

// ---- in place
Tensor turned_in_place(const Tensor& t) {
  Tensor result = t.clone();
  result.unsqueeze_(0).transpose_(1, 2);
  return result.squeeze_(0);
}
// As deformable convolutions do it: groups of a view are written, one after the other.
Tensor added_products(const Tensor& t, const Tensor& a, const Tensor& b, double beta, double alpha) {
  Tensor result = t.clone();
  for (int64_t group = 0; group < result.size(0); ++group) {
    result[group] = result[group].flatten(1).addmm_(a[group].flatten(1), b[group], beta, alpha).view_as(result[group]);
  }
  return result;
}
Tensor added(const Tensor& t, const Tensor& other) {
  Tensor result = t.clone();
  result += other.view({1, -1});
  result[0] += other;
  return result;
}

// ---- checks
void checked(const Tensor& a, const Tensor& b) {
  const at::TensorArg arg_a{a, "a", 1}, arg_b{b, "b", 2};
  const at::CheckedFrom from = "checked";
  at::checkAllSameType(from, {arg_a, arg_b});
  at::checkDim(from, arg_a, 2);
  at::checkSameSize(from, arg_a, arg_b);
  at::checkContiguous(from, arg_a);
  TORCH_CHECK_EQ(a.dim(), b.dim());
}

Tensor identity(const Tensor& t) {
  return t;
}
Tensor undefined() {
  return {};
}
std::vector<Tensor> turned(std::vector<Tensor> tensors) {
  std::reverse(tensors.begin(), tensors.end());
  return tensors;
}
int64_t maybe(const std::optional<Tensor>& t) {
  return t ? t->numel() : -1;
}
at::ScalarType typed(at::ScalarType type) {
  return type;
}

// ---- operators of every kind of signature
std::tuple<Tensor, int64_t> pair(const Tensor& t, int64_t n) {
  return {t.clone(), n + t.dim()};
}
void fill(Tensor& t, double value) {
  t.fill_(value);
}
std::string named(const std::string& name, bool loud) {
  return loud ? name + "!" : name;
}
std::vector<int64_t> lengths(const std::vector<Tensor>& tensors, at::IntArrayRef more) {
  std::vector<int64_t> result;
  for (const Tensor& t : tensors) {
    result.push_back(t.numel());
  }
  result.insert(result.end(), more.begin(), more.end());
  return result;
}
std::optional<double> optional(const std::optional<Tensor>& t, std::optional<int64_t> n, std::optional<at::IntArrayRef> more) {
  if (!t && !n) {
    return std::nullopt;
  }
  return (t ? t->sum().item<double>() : 0) + n.value_or(0) + (more ? static_cast<double>(more->size()) : 0);
}
Tensor make(at::IntArrayRef sizes, at::ScalarType type, at::Device device) {
  return at::zeros(sizes, at::dtype(type).device(device));
}
Tensor throwing(const Tensor& t, int64_t kind) {
  if (kind == 0) {
    throw std::out_of_range("a standard exception");
  }
  if (kind == 1) {
    throw 7;
  }
  TORCH_INTERNAL_ASSERT(kind != 2, "an assertion");
  TORCH_CHECK(kind != 3);
  TORCH_CHECK(kind != 4, std::string(20000, 'x'));
  return t.view({kind});
}

} // namespace

TORCH_LIBRARY(facade_probe, m) {
  m.def("pair", &pair);
  m.def("fill", &fill);
  m.def("named", named);
  m.def("lengths", &lengths);
  m.def("optional", &optional);
  m.def("make", &make);
  m.def("throwing", &throwing);
  m.def("twice", [](const Tensor& t) { return t.to(at::kDouble).mul(at::full({}, 2.0, at::kDouble)); });
  m.def("with_schema(Tensor t, *, int n=3) -> (Tensor, int)", &pair);
  m.def("on_cpu(Tensor t) -> Tensor");
}

TORCH_LIBRARY_IMPL(facade_probe, CPU, m) {
  m.impl("on_cpu", TORCH_FN(identity));
}

TORCH_LIBRARY_FRAGMENT(facade_probe, m) {
  m.def("later", &identity);
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("created", &created);
  m.def("described", &described);
  m.def("rows_reversed", &rows_reversed);
  m.def("numbers", &numbers, py::arg("count"), py::arg("like"));
  m.def("corner", &corner);
  m.def("first_written", &first_written);
  m.def("row_shape", &row_shape);
  m.def("doubled", &doubled);
  m.def("parallel_sum", &parallel_sum);
  m.def("computed", &computed);
  m.def("turned_in_place", &turned_in_place);
  m.def("added_products", &added_products);
  m.def("added", &added);
  m.def("checked", &checked);
  m.def("identity", &identity);
  m.def("undefined", &undefined);
  m.def("turned", &turned);
  m.def("maybe", &maybe);
  m.def("typed", &typed);
}

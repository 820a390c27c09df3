// What binding_checks.py calls: a module as projects write them for pybind11.
#include <torch/extension.h>

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <map>
#include <set>
#include <stdexcept>

namespace {

using namespace pybind11::literals;

struct Point {
  Point(double x, double y) : x(x), y(y) {}
  double x, y;
  double length2() const {
    return x * x + y * y;
  }
  void scale(double by) {
    x *= by;
    y *= by;
  }
};
struct Empty {
  std::vector<bool> flags;
};
struct Held {
  explicit Held(Point point) : point(point) {}
  Point point;
  Point& inner() {
    return point;
  }
};

std::string which(int64_t) {
  return "int";
}
std::string which(double) {
  return "float";
}
std::string which(const std::string&) {
  return "str";
}
std::string which(const std::vector<double>&) {
  return "list";
}
std::string which(const Point&) {
  return "Point";
}

py::dict gathered(const py::object& source) {
  std::vector<double> values;
  const py::list items = source.attr("values");
  for (size_t i = 0; i < py::len(items); ++i) {
    values.push_back(items[i].cast<double>());
  }
  double sum = 0;
  for (auto item : items) {
    sum += item.cast<double>();
  }
  return py::dict("values"_a = values, "sum"_a = sum, "name"_a = source.attr("name"), "n"_a = py::len(items));
}
py::object simply_called(const py::object& function) {
  return function(1, "two", "three"_a = 3.5);
}
void fails(int how) {
  switch (how) {
    case 0: throw std::invalid_argument("invalid");
    case 1: throw std::out_of_range("range");
    case 2: throw py::key_error("key");
    case 3: throw std::runtime_error("runtime");
    case 4: throw py::type_error("type");
    case 5: throw std::overflow_error("overflow");
    case 6: py::module_::import("no_such_module"); break;
    case 7: throw std::bad_alloc();
    case 8: py::int_(3).attr("nothing").cast<int>(); break;
    default: throw 7;
  }
}

} // namespace

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.doc() = "probe";
  m.def("int8", [](int8_t v) { return v; });
  m.def("uint8", [](uint8_t v) { return v; });
  m.def("int32", [](int v) { return v; });
  m.def("int64", [](int64_t v) { return v; });
  m.def("uint64", [](uint64_t v) { return v; });
  m.def("float32", [](float v) { return v; });
  m.def("float64", [](double v) { return v; });
  m.def("boolean", [](bool v) { return v; });
  m.def("text", [](const std::string& v) { return v + "."; });
  m.def("c_text", [](const char* v) { return v ? std::string(v) : std::string("none"); });
  m.def("letter", [](char v) { return v; });
  m.def("letters", [](int code) { return std::array<char, 2>{{static_cast<char>(code), 'x'}}; });
  m.def("floats", [](const std::vector<double>& v) { return v; });
  m.def("bools", [](const std::vector<bool>& v) { return v; });
  m.def("nested", [](const std::vector<std::vector<int>>& v) { return v; });
  m.def("three", [](const std::array<float, 3>& v) { return v; });
  m.def("mapping", [](const std::map<std::string, int>& v) { return v; });
  m.def("set", [](const std::set<int>& v) { return v; });
  m.def("pair", [](const std::pair<int, std::string>& v) { return v; });
  m.def("triple", [](const std::tuple<int, double, bool>& v) { return v; });
  m.def("maybe", [](std::optional<int> v) { return v; });
  m.def("complex", [](std::complex<double> v) { return v; });
  m.def("strict", [](double v) { return v; }, py::arg("v").noconvert());
  m.def("nothing", [] {});
  m.def("defaults", [](int a, double b, const std::string& c) { return py::make_tuple(a, b, c); }, "a"_a, "b"_a = 2.5,
        py::arg("c") = "c");
  m.def("which", py::overload_cast<int64_t>(&which));
  m.def("which", py::overload_cast<double>(&which));
  m.def("which", py::overload_cast<const std::string&>(&which));
  m.def("which", py::overload_cast<const std::vector<double>&>(&which));
  m.def("which", py::overload_cast<const Point&>(&which));
  m.def("gathered", &gathered);
  m.def("called", &simply_called);
  m.def("starred", [](const py::args& values, const py::kwargs& named) { return py::make_tuple(values, named); });
  m.def("fails", &fails);
  m.def("without_gil", [](int v) { return v; }, py::call_guard<py::gil_scoped_release>());
  m.def("object", [](const py::object& v) { return v; });
  m.def("list", [](const py::list& v) { return v.size(); });
  m.def("points", [](const std::vector<Point>& v) { return v; });
  m.def("far", [](const Point* v) { return v ? v->length2() : -1; });

  py::class_<Point>(m, "Point")
      .def(py::init<double, double>(), "x"_a, "y"_a = 1.0)
      .def(py::init([](const std::string& text) { return Point(std::stod(text), 0); }))
      .def("length2", &Point::length2)
      .def("scale", &Point::scale, "by"_a)
      .def("plus", [](const Point& self, const Point& other) { return Point(self.x + other.x, self.y + other.y); })
      .def("__repr__", [](const Point& self) { return "<" + std::to_string(self.x) + ">"; })
      .def("__len__", [](const Point&) { return 2; })
      .def_static("zero", [] { return Point(0, 0); })
      .def_readwrite("x", &Point::x)
      .def_readonly("y", &Point::y)
      .def_property_readonly("sum", [](const Point& self) { return self.x + self.y; });
  py::class_<Empty>(m, "Empty").def(py::init<>());
  py::class_<Held, std::shared_ptr<Held>>(m, "Held")
      .def(py::init<Point>())
      .def("inner", &Held::inner, py::return_value_policy::reference_internal)
      .def_readwrite("point", &Held::point);
  m.def("shared", [](std::shared_ptr<Held> held) { return held; });
  m.attr("constant") = 42;
  m.def_submodule("inside").def("one", [] { return 1; });
}

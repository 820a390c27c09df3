// CPython's stable ABI, as far as limited/pybind11 needs it: the same for every CPython from 3.10 on, so that no
// CPython's own headers decide what is compiled. Names and layouts: docs.python.org/3/c-api/stable.html.
//
// References are counted by functions (Py_IncRef, Py_DecRef): what an object looks like inside is left to CPython,
// but for its two first fields, which every object type of a module has to begin with.
#pragma once

// what CPython's own includes for everybody
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <wchar.h>

#define Py_LIMITED_API 0x030a0000

#ifdef _WIN32
#define WHEELFERRY_PYTHON __declspec(dllimport)
#define Py_EXPORTED_SYMBOL __declspec(dllexport)
#else
#define WHEELFERRY_PYTHON
#define Py_EXPORTED_SYMBOL __attribute__((visibility("default")))
#endif

extern "C" {

typedef intptr_t Py_ssize_t;
typedef struct _typeobject PyTypeObject;
typedef struct _ts PyThreadState;
typedef struct _object {
  Py_ssize_t ob_refcnt;
  PyTypeObject* ob_type;
} PyObject;
#define PyObject_HEAD PyObject ob_base;

typedef PyObject* (*PyCFunction)(PyObject*, PyObject*);
typedef PyObject* (*PyCFunctionWithKeywords)(PyObject*, PyObject*, PyObject*);
typedef struct {
  const char* ml_name;
  PyCFunction ml_meth;
  int ml_flags;
  const char* ml_doc;
} PyMethodDef;
#define METH_VARARGS 1
#define METH_KEYWORDS 2

typedef struct {
  PyObject_HEAD
  PyObject* (*m_init)();
  Py_ssize_t m_index;
  PyObject* m_copy;
} PyModuleDef_Base;
typedef struct {
  PyModuleDef_Base m_base;
  const char* m_name;
  const char* m_doc;
  Py_ssize_t m_size;
  PyMethodDef* m_methods;
  void* m_slots;
  void* m_traverse;
  void* m_clear;
  void* m_free;
} PyModuleDef;

typedef struct {
  int slot;
  void* pfunc;
} PyType_Slot;
typedef struct {
  const char* name;
  int basicsize;
  int itemsize;
  unsigned int flags;
  PyType_Slot* slots;
} PyType_Spec;
#define Py_tp_call 50
#define Py_tp_dealloc 52
#define Py_tp_descr_get 54
#define Py_tp_doc 56
#define Py_tp_init 60
#define Py_tp_new 65
#define Py_tp_free 74
#define Py_TPFLAGS_DEFAULT (1u << 18)
#define Py_TPFLAGS_LONG_SUBCLASS (1u << 24)
#define Py_TPFLAGS_LIST_SUBCLASS (1u << 25)
#define Py_TPFLAGS_TUPLE_SUBCLASS (1u << 26)
#define Py_TPFLAGS_BYTES_SUBCLASS (1u << 27)
#define Py_TPFLAGS_UNICODE_SUBCLASS (1u << 28)
#define Py_TPFLAGS_DICT_SUBCLASS (1u << 29)

#define Py_LT 0
#define Py_LE 1
#define Py_EQ 2
#define Py_NE 3
#define Py_GT 4
#define Py_GE 5

// ---- objects
WHEELFERRY_PYTHON void Py_IncRef(PyObject*);
WHEELFERRY_PYTHON void Py_DecRef(PyObject*);
WHEELFERRY_PYTHON int Py_IsInitialized();
WHEELFERRY_PYTHON PyObject* PyObject_Call(PyObject*, PyObject*, PyObject*);
WHEELFERRY_PYTHON PyObject* PyObject_GetAttr(PyObject*, PyObject*);
WHEELFERRY_PYTHON PyObject* PyObject_GetAttrString(PyObject*, const char*);
WHEELFERRY_PYTHON int PyObject_SetAttrString(PyObject*, const char*, PyObject*);
WHEELFERRY_PYTHON int PyObject_HasAttrString(PyObject*, const char*);
WHEELFERRY_PYTHON PyObject* PyObject_GetItem(PyObject*, PyObject*);
WHEELFERRY_PYTHON int PyObject_SetItem(PyObject*, PyObject*, PyObject*);
WHEELFERRY_PYTHON PyObject* PyObject_GetIter(PyObject*);
WHEELFERRY_PYTHON int PyObject_IsInstance(PyObject*, PyObject*);
WHEELFERRY_PYTHON int PyObject_IsTrue(PyObject*);
WHEELFERRY_PYTHON Py_ssize_t PyObject_Size(PyObject*);
WHEELFERRY_PYTHON PyObject* PyObject_Str(PyObject*);
WHEELFERRY_PYTHON PyObject* PyObject_Repr(PyObject*);
WHEELFERRY_PYTHON PyObject* PyObject_Type(PyObject*);
WHEELFERRY_PYTHON int PyObject_RichCompareBool(PyObject*, PyObject*, int);
WHEELFERRY_PYTHON int PyCallable_Check(PyObject*);
WHEELFERRY_PYTHON PyObject* PyIter_Next(PyObject*);
WHEELFERRY_PYTHON PyObject* PyNumber_Index(PyObject*);
WHEELFERRY_PYTHON PyObject* PyNumber_Long(PyObject*);
WHEELFERRY_PYTHON PyObject* PyNumber_Float(PyObject*);
WHEELFERRY_PYTHON int PyNumber_Check(PyObject*);
WHEELFERRY_PYTHON int PyIndex_Check(PyObject*);
WHEELFERRY_PYTHON int PySequence_Check(PyObject*);
WHEELFERRY_PYTHON int PySequence_Contains(PyObject*, PyObject*);
WHEELFERRY_PYTHON PyObject* PySequence_Fast(PyObject*, const char*);
WHEELFERRY_PYTHON PyObject* PySequence_List(PyObject*);
WHEELFERRY_PYTHON PyObject* PySequence_Tuple(PyObject*);
WHEELFERRY_PYTHON int PyMapping_Check(PyObject*);

// ---- values
WHEELFERRY_PYTHON PyObject* PyBool_FromLong(long);
WHEELFERRY_PYTHON long long PyLong_AsLongLong(PyObject*);
WHEELFERRY_PYTHON unsigned long long PyLong_AsUnsignedLongLong(PyObject*);
WHEELFERRY_PYTHON PyObject* PyLong_FromLongLong(long long);
WHEELFERRY_PYTHON PyObject* PyLong_FromUnsignedLongLong(unsigned long long);
WHEELFERRY_PYTHON double PyFloat_AsDouble(PyObject*);
WHEELFERRY_PYTHON PyObject* PyFloat_FromDouble(double);
WHEELFERRY_PYTHON PyObject* PyComplex_FromDoubles(double, double);
WHEELFERRY_PYTHON double PyComplex_RealAsDouble(PyObject*);
WHEELFERRY_PYTHON double PyComplex_ImagAsDouble(PyObject*);
WHEELFERRY_PYTHON PyObject* PyUnicode_FromStringAndSize(const char*, Py_ssize_t);
WHEELFERRY_PYTHON PyObject* PyUnicode_DecodeLatin1(const char*, Py_ssize_t, const char*);
WHEELFERRY_PYTHON PyObject* PyUnicode_InternFromString(const char*);
WHEELFERRY_PYTHON const char* PyUnicode_AsUTF8AndSize(PyObject*, Py_ssize_t*);
WHEELFERRY_PYTHON PyObject* PyBytes_FromStringAndSize(const char*, Py_ssize_t);
WHEELFERRY_PYTHON int PyBytes_AsStringAndSize(PyObject*, char**, Py_ssize_t*);
WHEELFERRY_PYTHON PyObject* PyList_New(Py_ssize_t);
WHEELFERRY_PYTHON int PyList_Append(PyObject*, PyObject*);
WHEELFERRY_PYTHON PyObject* PyList_GetItem(PyObject*, Py_ssize_t);
WHEELFERRY_PYTHON int PyList_SetItem(PyObject*, Py_ssize_t, PyObject*);
WHEELFERRY_PYTHON PyObject* PyTuple_New(Py_ssize_t);
WHEELFERRY_PYTHON Py_ssize_t PyTuple_Size(PyObject*);
WHEELFERRY_PYTHON PyObject* PyTuple_GetItem(PyObject*, Py_ssize_t);
WHEELFERRY_PYTHON int PyTuple_SetItem(PyObject*, Py_ssize_t, PyObject*);
WHEELFERRY_PYTHON PyObject* PyTuple_GetSlice(PyObject*, Py_ssize_t, Py_ssize_t);
WHEELFERRY_PYTHON PyObject* PyDict_New();
WHEELFERRY_PYTHON PyObject* PyDict_Copy(PyObject*);
WHEELFERRY_PYTHON Py_ssize_t PyDict_Size(PyObject*);
WHEELFERRY_PYTHON PyObject* PyDict_GetItemString(PyObject*, const char*);
WHEELFERRY_PYTHON int PyDict_Next(PyObject*, Py_ssize_t*, PyObject**, PyObject**);
WHEELFERRY_PYTHON PyObject* PySet_New(PyObject*);
WHEELFERRY_PYTHON int PySet_Add(PyObject*, PyObject*);
WHEELFERRY_PYTHON PyObject* PyCapsule_New(void*, const char*, void (*)(PyObject*));
WHEELFERRY_PYTHON void* PyCapsule_GetPointer(PyObject*, const char*);
WHEELFERRY_PYTHON const char* PyCapsule_GetName(PyObject*);

// ---- types, functions, modules
WHEELFERRY_PYTHON unsigned long PyType_GetFlags(PyTypeObject*);
WHEELFERRY_PYTHON int PyType_IsSubtype(PyTypeObject*, PyTypeObject*);
WHEELFERRY_PYTHON PyObject* PyType_FromSpec(PyType_Spec*);
WHEELFERRY_PYTHON void* PyType_GetSlot(PyTypeObject*, int);
WHEELFERRY_PYTHON PyObject* PyType_GenericAlloc(PyTypeObject*, Py_ssize_t);
WHEELFERRY_PYTHON void PyObject_Free(void*);
WHEELFERRY_PYTHON PyObject* PyCFunction_NewEx(PyMethodDef*, PyObject*, PyObject*);
WHEELFERRY_PYTHON PyObject* PyModule_Create2(PyModuleDef*, int);
WHEELFERRY_PYTHON PyObject* PyImport_ImportModule(const char*);
WHEELFERRY_PYTHON PyObject* PyImport_AddModule(const char*);
WHEELFERRY_PYTHON PyThreadState* PyEval_SaveThread();
WHEELFERRY_PYTHON void PyEval_RestoreThread(PyThreadState*);
WHEELFERRY_PYTHON int PyGILState_Ensure();
WHEELFERRY_PYTHON void PyGILState_Release(int);

// ---- errors
WHEELFERRY_PYTHON PyObject* PyErr_Occurred();
WHEELFERRY_PYTHON int PyErr_ExceptionMatches(PyObject*);
WHEELFERRY_PYTHON int PyErr_GivenExceptionMatches(PyObject*, PyObject*);
WHEELFERRY_PYTHON void PyErr_Clear();
WHEELFERRY_PYTHON void PyErr_SetString(PyObject*, const char*);
WHEELFERRY_PYTHON void PyErr_Fetch(PyObject**, PyObject**, PyObject**);
WHEELFERRY_PYTHON void PyErr_NormalizeException(PyObject**, PyObject**, PyObject**);
WHEELFERRY_PYTHON void PyErr_Restore(PyObject*, PyObject*, PyObject*);

extern WHEELFERRY_PYTHON PyObject _Py_NoneStruct;
extern WHEELFERRY_PYTHON PyObject _Py_TrueStruct;
extern WHEELFERRY_PYTHON PyObject _Py_FalseStruct;
#define Py_None (&_Py_NoneStruct)
#define Py_True (&_Py_TrueStruct)
#define Py_False (&_Py_FalseStruct)
extern WHEELFERRY_PYTHON PyTypeObject PyFloat_Type, PyComplex_Type, PySet_Type, PyFrozenSet_Type, PyModule_Type;
extern WHEELFERRY_PYTHON PyTypeObject PyProperty_Type, PyCapsule_Type;
extern WHEELFERRY_PYTHON PyObject *PyExc_AttributeError, *PyExc_BufferError, *PyExc_ImportError, *PyExc_IndexError,
    *PyExc_KeyError, *PyExc_MemoryError, *PyExc_NotImplementedError, *PyExc_OverflowError, *PyExc_RuntimeError,
    *PyExc_StopIteration, *PyExc_SystemError, *PyExc_TypeError, *PyExc_ValueError;

} // extern "C"

#define Py_INCREF(object) Py_IncRef(reinterpret_cast<PyObject*>(object))
#define Py_DECREF(object) Py_DecRef(reinterpret_cast<PyObject*>(object))
#define Py_XINCREF Py_INCREF
#define Py_XDECREF Py_DECREF
#define Py_TYPE(object) (reinterpret_cast<PyObject*>(object)->ob_type)
#define Py_RETURN_NONE return Py_IncRef(Py_None), Py_None
#define PyMODINIT_FUNC extern "C" Py_EXPORTED_SYMBOL PyObject*

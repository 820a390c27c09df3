@echo off
rem Installs this bundle on Windows 10 or newer. Where there is no Python 3.7 or newer, the one that the
rem bundle carries is used. "install.cmd --help" shows the options.
setlocal EnableExtensions DisableDelayedExpansion
set "BUNDLE=%~dp0"
set "WHEELFERRY_NEUTRALISED="
if defined PYTHONHOME set "WHEELFERRY_NEUTRALISED=PYTHONHOME=%PYTHONHOME%"
set "PYTHONHOME="
set "PYTHONPATH="
if not exist "%BUNDLE%bundle.json" (
    echo install.cmd: there is no bundle.json beside it: start it where the bundle lies 1>&2
    exit /b 2
)
set "TEST=import sys, argparse, ctypes, hashlib, json, tarfile, zipfile, zlib; sys.exit(sys.version_info < (3, 7))"

rem the launcher of python.org, then python.exe; the one of the Microsoft Store only opens a window
py -3 -I -c "%TEST%" >nul 2>&1
if not errorlevel 1 (
    py -3 -I "%BUNDLE%install.pyz" %*
    goto :end
)
python -I -c "%TEST%" >nul 2>&1
if not errorlevel 1 (
    python -I "%BUNDLE%install.pyz" %*
    goto :end
)

set "SCRATCH=%TEMP%\wheelferry-%RANDOM%%RANDOM%"
for %%A in ("%BUNDLE%runtime\*.zip") do call :unpack "%%~fA" && goto :carried
echo install.cmd: there is no Python 3.7 or newer here, and the bundle carries none 1>&2
echo   -^> install Python, or ask for a bundle that was made with --runtime 1>&2
exit /b 3

:carried
"%PROGRAM%" -I "%BUNDLE%install.pyz" %*
set "STATUS=%ERRORLEVEL%"
rd /s /q "%SCRATCH%"
exit /b %STATUS%

:unpack
rem checks the archive against bundle.json, unpacks it, and looks for its python.exe
set "ARCHIVE=%~1"
powershell -NoProfile -ExecutionPolicy Bypass -Command ^
  "$ErrorActionPreference = 'Stop';" ^
  "$name = 'runtime/' + (Split-Path -Leaf $env:ARCHIVE);" ^
  "$manifest = Get-Content -Raw -Encoding UTF8 -LiteralPath ($env:BUNDLE + 'bundle.json') | ConvertFrom-Json;" ^
  "$entry = $manifest.files | Where-Object { $_.path -eq $name };" ^
  "$seen = (Get-FileHash -Algorithm SHA256 -LiteralPath $env:ARCHIVE).Hash;" ^
  "if ($seen -ne $entry.sha256) { throw ($name + ' is damaged: copy the bundle again') };" ^
  "Expand-Archive -LiteralPath $env:ARCHIVE -DestinationPath $env:SCRATCH"
if errorlevel 1 exit /b 4
set "PROGRAM="
for /r "%SCRATCH%" %%P in (python.exe) do if exist "%%P" if not defined PROGRAM set "PROGRAM=%%P"
if not defined PROGRAM exit /b 3
"%PROGRAM%" -I -c "import sys" >nul 2>&1
exit /b %ERRORLEVEL%

:end
exit /b %ERRORLEVEL%

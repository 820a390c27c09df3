@echo off
rem Installs this bundle on Windows 10 or newer. Where there is no Python 3.7 or newer, the one that the
rem bundle carries is used. "install.cmd --help" shows the options.
setlocal EnableExtensions DisableDelayedExpansion
set "BUNDLE=%~dp0"
set "WHEELFERRY_NEUTRALISED="
set "DAMAGED="
if defined PYTHONHOME set "WHEELFERRY_NEUTRALISED=PYTHONHOME=%PYTHONHOME%"
if not defined WHEELFERRY_NEUTRALISED if defined PYTHONPATH set "WHEELFERRY_NEUTRALISED=PYTHONPATH=%PYTHONPATH%"
set "PYTHONHOME="
set "PYTHONPATH="
if not exist "%BUNDLE%bundle.json" (
    echo install.cmd: there is no bundle.json beside it: start it where the bundle lies 1>&2
    exit /b 2
)
set "CHECKED=%BUNDLE%install.pyz"
set "NAME=install.pyz"
call :check
if not "%ERRORLEVEL%"=="0" exit /b 4
set "TEST=import sys, argparse, ctypes, hashlib, json, tarfile, zipfile, zlib; sys.exit(sys.version_info < (3, 7))"

rem the launcher of python.org, then python.exe; the one of the Microsoft Store only opens a window
py -3 -I -c "%TEST%" >nul 2>&1
if "%ERRORLEVEL%"=="0" (
    py -3 -I "%BUNDLE%install.pyz" %*
    goto :end
)
python -I -c "%TEST%" >nul 2>&1
if "%ERRORLEVEL%"=="0" (
    python -I "%BUNDLE%install.pyz" %*
    goto :end
)

set "SCRATCH=%TEMP%\wheelferry-%RANDOM%%RANDOM%"
for %%A in ("%BUNDLE%runtime\*.zip") do (
    call :unpack "%%~fA" "%%~nxA"
    if defined PROGRAM goto :carried
)
if defined DAMAGED exit /b 4
echo install.cmd: there is no Python 3.7 or newer here, and the bundle carries none 1>&2
echo   -^> install Python, or ask for a bundle that was made with --runtime 1>&2
exit /b 3

:carried
"%PROGRAM%" -I "%BUNDLE%install.pyz" %*
set "STATUS=%ERRORLEVEL%"
rd /s /q "%SCRATCH%"
exit /b %STATUS%

:check
rem compares the SHA-256 of CHECKED with what bundle.json says of NAME
powershell -NoProfile -ExecutionPolicy Bypass -Command ^
  "$ErrorActionPreference = 'Stop';" ^
  "$manifest = Get-Content -Raw -Encoding UTF8 -LiteralPath ($env:BUNDLE + 'bundle.json') | ConvertFrom-Json;" ^
  "$entry = $manifest.files | Where-Object { $_.path -eq $env:NAME };" ^
  "$seen = (Get-FileHash -Algorithm SHA256 -LiteralPath $env:CHECKED).Hash;" ^
  "if ($seen -ne $entry.sha256) { throw ($env:NAME + ' is damaged: copy the bundle again') }"
exit /b %ERRORLEVEL%

:unpack
rem unpacks an archive that is what it should be, and looks for a python.exe that starts
set "PROGRAM="
set "CHECKED=%~1"
set "NAME=runtime/%~2"
call :check
if not "%ERRORLEVEL%"=="0" (
    set "DAMAGED=1"
    exit /b 4
)
if exist "%SCRATCH%" rd /s /q "%SCRATCH%"
powershell -NoProfile -ExecutionPolicy Bypass -Command ^
  "$ErrorActionPreference = 'Stop';" ^
  "Expand-Archive -LiteralPath $env:CHECKED -DestinationPath $env:SCRATCH"
if not "%ERRORLEVEL%"=="0" exit /b 3
for /r "%SCRATCH%" %%P in (python.exe) do if exist "%%P" if not defined PROGRAM set "PROGRAM=%%P"
if not defined PROGRAM exit /b 3
"%PROGRAM%" -I -c "%TEST%" >nul 2>&1
if not "%ERRORLEVEL%"=="0" set "PROGRAM="
exit /b 0

:end
exit /b %ERRORLEVEL%

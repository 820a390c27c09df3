@echo off
rem Installs this bundle on a 64-bit Windows 10 (any release), Windows Server 2016, or newer. It needs no
rem administrator. "install.cmd --help" shows the options.
rem
rem Where there is a Python 3.7 or newer, nothing else is needed. Otherwise the Python that the bundle carries
rem is unpacked to the temporary folder: checked by certutil, unpacked by tar (Windows 10 1803 and newer), and
rem by PowerShell where one of these is missing or blocked.
setlocal EnableExtensions DisableDelayedExpansion
set "SELF=%~nx0"
set "BUNDLE=%~dp0"
set "SCRATCH="
set "SYSTEM=%SystemRoot%\System32"
rem Python's own manager would otherwise try to fetch one from the network
set "PYTHON_MANAGER_AUTOMATIC_INSTALL=false"
if not exist "%BUNDLE%bundle.json" goto no_bundle
if not exist "%BUNDLE%install.pyz" goto damaged_installer
set "WORKS=import sys, argparse, ctypes, hashlib, json, tarfile, zipfile, zlib; sys.exit(sys.version_info < (3, 7))"
set "SUM=hashlib.sha256(open(sys.argv[2], 'rb').read()).hexdigest()"
set "STATED=[f['sha256'] for f in json.load(open(sys.argv[1], 'rb'))['files'] if f['path'] == 'install.pyz']"
set "CHECK=import hashlib, json, sys; sys.exit(%STATED% != [%SUM%])"

rem The launcher of python.org, then a Python in PATH. With .exe, or a python.cmd of an installation would be
rem taken that happens to lie in the current folder. The one of the Microsoft Store says no.
set RUN=py.exe -3
%RUN% -I -c "%WORKS%" >nul 2>&1
if "%ERRORLEVEL%"=="0" goto start
set RUN=python.exe
%RUN% -I -c "%WORKS%" >nul 2>&1
if "%ERRORLEVEL%"=="0" goto start

if not exist "%BUNDLE%runtime\*.zip" goto no_python
rem what a closed window left; Windows does not rename a folder that a program runs from
for /f "delims=" %%D in ('dir /b /ad "%%TEMP%%\wheelferry-python-*" 2^>nul') do (
    ren "%TEMP%\%%D" "%%D.old" 2>nul && rd /s /q "%TEMP%\%%D.old" 2>nul
)
set "SCRATCH=%TEMP%\wheelferry-python-%RANDOM%%RANDOM%"
for /f "delims=" %%A in ('dir /b /a-d "%%BUNDLE%%runtime\*.zip"') do (
    set "ARCHIVE=%BUNDLE%runtime\%%A"
    call :unpack
    if defined RUN goto carried
)
goto end

:carried
echo no Python here: starting the one of the bundle 1>&2
rem it goes when we end, so nothing may be built on it
set "WHEELFERRY_SCRATCH=%SCRATCH%"

:start
set "PYTHON_MANAGER_AUTOMATIC_INSTALL="
%RUN% -I -c "%CHECK%" "%BUNDLE%bundle.json" "%BUNDLE%install.pyz" >nul 2>&1
if not "%ERRORLEVEL%"=="0" goto damaged_installer
%RUN% -I "%BUNDLE%install.pyz" %*
set "STATUS=%ERRORLEVEL%"
goto end

:no_bundle
echo %SELF%: there is no bundle.json beside it 1>&2
echo   -^> start it in the folder of the bundle; out of a zip file, unpack all of that first 1>&2
set "STATUS=2"
goto end

:no_python
echo %SELF%: there is no Python 3.7 or newer here, and the bundle carries none 1>&2
echo   -^> install Python, or ask for a bundle that was made with --runtime 1>&2
set "STATUS=3"
goto end

:damaged_installer
echo %SELF%: install.pyz or bundle.json is damaged 1>&2
echo   -^> copy the bundle again from where it was made 1>&2
set "STATUS=4"
goto end

:end
if defined SCRATCH if exist "%SCRATCH%" rd /s /q "%SCRATCH%"
rem without options somebody sits there, who may have clicked twice: the window would vanish with what it says
if "%~1"=="" pause
exit /b %STATUS%

:unpack
rem Unpacks ARCHIVE to SCRATCH and sets RUN to its Python. Where that fails it says why, and sets STATUS.
set "RUN="
call :hash
if not defined HASH (
    echo %SELF%: neither certutil nor PowerShell computes a SHA-256 here 1>&2
    echo   -^> an administrator may have blocked both: install Python 3.7 or newer, then start this again 1>&2
    set "STATUS=3"
    exit /b
)
rem that it is the SHA-256 of one of the bundle's files says that nothing happened to it on its way
"%SYSTEM%\find.exe" "%HASH%" <"%BUNDLE%bundle.json" >nul
if not "%ERRORLEVEL%"=="0" (
    echo %SELF%: "%ARCHIVE%" is damaged 1>&2
    echo   -^> copy the bundle again from where it was made 1>&2
    set "STATUS=4"
    exit /b
)
if exist "%SCRATCH%" rd /s /q "%SCRATCH%"
mkdir "%SCRATCH%"
if exist "%SYSTEM%\tar.exe" (
    "%SYSTEM%\tar.exe" -xf "%ARCHIVE%" -C "%SCRATCH%" >nul 2>&1
)
call :find_python
if defined RUN exit /b
set "UNZIP=Expand-Archive -Force -LiteralPath $env:ARCHIVE -DestinationPath $env:SCRATCH"
powershell -NoProfile -ExecutionPolicy Bypass -Command "$ProgressPreference = 'SilentlyContinue'; %UNZIP%"
call :find_python
if defined RUN exit /b
echo %SELF%: the Python of the bundle cannot be unpacked to "%SCRATCH%", or not be started there 1>&2
echo   -^> is there room? do rules forbid programs there? set TEMP to another folder, then start this again 1>&2
set "STATUS=3"
exit /b

:find_python
for %%P in ("%SCRATCH%\python.exe" "%SCRATCH%\python\python.exe" "%SCRATCH%\tools\python.exe") do (
    if exist %%P set RUN=%%P
)
if not defined RUN exit /b
%RUN% -I -c "%WORKS%" >nul 2>&1
if not "%ERRORLEVEL%"=="0" set "RUN="
exit /b

:hash
rem HASH becomes the SHA-256 of ARCHIVE; %%ARCHIVE%% is left to the second cmd, which expands it once
set "HASH="
for /f "skip=1 delims=" %%H in ('%SYSTEM%\certutil.exe -hashfile "%%ARCHIVE%%" SHA256 2^>nul') do (
    if not defined HASH set "HASH=%%H"
)
call :check_hash
if defined HASH exit /b
set "ASK=(Get-FileHash -Algorithm SHA256 -LiteralPath $env:ARCHIVE).Hash.ToLower()"
for /f "delims=" %%H in ('powershell -NoProfile -ExecutionPolicy Bypass -Command "%%ASK%%" 2^>nul') do set "HASH=%%H"
call :check_hash
exit /b

:check_hash
rem keeps HASH only if it is one: 64 hexadecimal digits
if not defined HASH exit /b
for /f "delims=0123456789abcdef" %%X in ("%HASH%") do set "HASH="
if not defined HASH exit /b
if "%HASH:~63,1%"=="" set "HASH="
if defined HASH if not "%HASH:~64%"=="" set "HASH="
exit /b

@echo off
rem Starts @VERB@.pyz, which lies beside it, with a Python 3.7 or newer. "@VERB@.cmd --help" shows the options.
setlocal EnableExtensions DisableDelayedExpansion
set "HERE=%~dp0"
rem Python's own manager would otherwise try to fetch one from the network
set "PYTHON_MANAGER_AUTOMATIC_INSTALL=false"
set "WORKS=import sys, argparse, ctypes, hashlib, zipimport; sys.exit(sys.version_info < (3, 7))"
set "SUM=hashlib.sha256(open(sys.argv[2], 'rb').read()).hexdigest()"
set "STATED=[f['sha256'] for f in json.load(open(sys.argv[1], 'rb'))['companions'] if f['path'] == '@VERB@.pyz']"
set "CHECK=import hashlib, json, sys; sys.exit(%STATED% != [%SUM%])"

rem The launcher of python.org, then a Python in PATH. The one of the Microsoft Store says no.
set RUN=py.exe -3
%RUN% -I -c "%WORKS%" >nul 2>&1
if "%ERRORLEVEL%"=="0" goto start
set RUN=python.exe
%RUN% -I -c "%WORKS%" >nul 2>&1
if "%ERRORLEVEL%"=="0" goto start
echo %~nx0: there is no Python 3.7 or newer here 1>&2
echo   -^> README.txt says what else there is 1>&2
set "STATUS=3"
goto end

:start
set "PYTHON_MANAGER_AUTOMATIC_INSTALL="
%RUN% -I -c "%CHECK%" "%HERE%@DOCUMENT@" "%HERE%@VERB@.pyz" >nul 2>&1
if not "%ERRORLEVEL%"=="0" goto damaged
%RUN% -I "%HERE%@VERB@.pyz" %*
set "STATUS=%ERRORLEVEL%"
goto end

:damaged
echo %~nx0: @VERB@.pyz or @DOCUMENT@ is damaged 1>&2
echo   -^> @REMEDY@ 1>&2
set "STATUS=4"

:end
rem without options somebody may have clicked twice: the window would vanish with what it says
if "%~1"=="" pause
exit /b %STATUS%

//! Weaknesses by name: what a request that uses them cannot do without. From the advisories and the published exploits'
//! descriptions; nothing is taken from a capture.

/// Where words stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Anywhere in a request.
    Anywhere,
    /// In path and query.
    Target,
    /// In the value of a field of this name.
    Field(&'static str),
    /// In the value of any field.
    AnyField,
    /// In the body.
    Body,
}

/// A weakness.
#[derive(Debug)]
pub(super) struct Rule {
    /// As findings name it.
    pub(super) name: &'static str,
    pub(super) place: Place,
    /// All of these stand there, in plain form.
    pub(super) words: &'static [&'static str],
    /// In the plain target as well.
    pub(super) target: &'static str,
    /// It has the server run what is sent.
    pub(super) executes: bool,
}

macro_rules! rules {
    ($($name:literal $place:expr, $words:expr $(, target $target:literal)? $(; $runs:ident)?)*) => {
        &[$(Rule {
            name: $name,
            place: $place,
            words: &$words,
            target: concat!("" $(, $target)?),
            executes: rules!(@ $($runs)?),
        },)*]
    };
    (@ runs) => { true };
    (@) => { false };
}

use Place::{AnyField, Anywhere, Body, Field, Target};

/// In order of names.
pub(super) const RULES: &[Rule] = rules! {
    "ajp_jsp_shell CVE-2017-12617" Target, [".jsp/", "?cmd="]; runs
    "apache_traversal CVE-2021-41773" Target, ["/cgi-bin/", "/../../", "/bin/"]; runs
    "big_ip CVE-2020-5902" Target, ["/tmui/login.jsp/..;/"]; runs
    "big_ip CVE-2022-1388" Target, ["/mgmt/tm/util/bash"]; runs
    "citrix CVE-2019-19781" Target, ["/vpns/", "/../"]
    "code_red CVE-2001-0500" Target, ["default.ida?nnnnnnnn"]; runs
    "code_red CVE-2001-0500" Target, ["default.ida?xxxxxxxx"]; runs
    "cisco_ios_xe CVE-2023-20198" Target, ["webui_wsma_http"]; runs
    "confluence CVE-2022-26134" Target, ["/${", "@java.lang"]; runs
    "confluence CVE-2022-26134" Target, ["/${", "getruntime"]; runs
    "confluence CVE-2022-26134" Target, ["/${", "class.forname("]; runs
    "confluence CVE-2023-22515" Target, ["server-info.action?", "bootstrapstatusprovider"]
    "dlink_hnap CVE-2015-2051" Field("soapaction"), ["hnap1/", "`"]; runs
    "dlink_hnap CVE-2015-2051" Field("soapaction"), ["hnap1/", ";"]; runs
    "drupalgeddon2 CVE-2018-7600" Anywhere, ["#post_render", "#markup"]; runs
    "elasticsearch CVE-2015-1427" Body, ["java.lang.", "script_fields"], target "_search"; runs
    "fortios CVE-2018-13379" Target, ["/remote/fgt_lang?", "../"]
    "gpon CVE-2018-10561" Anywhere, ["dest_host=", "`"], target "/gponform/diag_form"; runs
    "gpon CVE-2018-10561" Target, ["/gponform/diag_form?images/"]
    "huawei_hg532 CVE-2017-17215" Body, ["newstatusurl", "$("], target "/ctrlt/deviceupgrade"; runs
    "huawei_hg532 CVE-2017-17215" Body, ["newdownloadurl", "$("], target "/ctrlt/deviceupgrade"; runs
    "iis_http_sys CVE-2015-1635" Field("range"), ["18446744073709551615"]
    "iis_unicode CVE-2000-0884" Target, ["/../", "/system32/cmd.exe"]; runs
    "ivanti CVE-2023-46805" Target, ["/api/v1/totp/user-backup-code/../"]; runs
    "java_deserialisation" Anywhere, ["ro0abx"]; runs
    "jboss_invoker CVE-2017-12149" Target, ["/invoker/", "invokerservlet"]; runs
    "jenkins_script" Body, ["script=", "execute("], target "/script"; runs
    "linksys_tmunblock" Anywhere, ["ttcp_ip=", "`"], target "tmunblock.cgi"; runs
    "linksys_tmunblock" Anywhere, ["ttcp_ip=", ";"], target "tmunblock.cgi"; runs
    "log4shell CVE-2021-44228" Anywhere, ["${jndi:"]; runs
    "moveit CVE-2023-34362" Target, ["moveitisapi.dll?action=m2"]
    "netgear_setup_cgi" Target, ["setup.cgi?", "todo=syscmd", "cmd="]; runs
    "omigod CVE-2021-38647" Body, ["scx_operatingsystem", "executeshellcommand"], target "/wsman"; runs
    "omigod CVE-2021-38647" Body, ["scx_operatingsystem", "executescript"], target "/wsman"; runs
    "pan_os CVE-2024-3400" Field("cookie"), ["sessid=", "../"]; runs
    "php_cgi CVE-2012-1823" Target, ["-d allow_url_include"]; runs
    "php_cgi CVE-2012-1823" Target, ["-d auto_prepend_file"]; runs
    "php_cgi CVE-2024-4577" Target, ["d allow_url_include", "auto_prepend_file"]; runs
    "php_code" Body, ["eval(base64_decode("]; runs
    "php_code" Body, ["<?php", "system("]; runs
    "php_code" Body, ["<?php", "shell_exec("]; runs
    "phpunit CVE-2017-9841" Target, ["phpunit/", "eval-stdin.php"]; runs
    "proxylogon CVE-2021-26855" Field("cookie"), ["x-beresource=", "~"]
    "proxyshell CVE-2021-34473" Target, ["/autodiscover/autodiscover.json", "@", "powershell"]; runs
    "proxyshell CVE-2021-34473" Target, ["/autodiscover/autodiscover.json", "@", "/mapi/"]
    "proxyshell CVE-2021-34473" Target, ["/autodiscover/autodiscover.json", "@", "/ews/"]
    "pulse CVE-2019-11510" Target, ["/dana-na/", "/../", "dana"]
    "realtek_soap CVE-2014-8361" Body, ["newinternalclient", "`"]; runs
    "realtek_soap CVE-2014-8361" Body, ["newinternalclient", "$("]; runs
    "screenconnect CVE-2024-1709" Target, ["/setupwizard.aspx/"]
    "shellshock CVE-2014-6271" AnyField, ["() {"]; runs
    "shellshock CVE-2014-6271" AnyField, ["(){"]; runs
    "shellshock CVE-2014-6271" Target, ["() {", ";"]; runs
    "solr_velocity CVE-2019-17558" Target, ["wt=velocity", "v.template"]; runs
    "spring4shell CVE-2022-22965" Anywhere, ["class.module.classloader"]; runs
    "spring_function CVE-2022-22963" Field("spring.cloud.function.routing-expression"), ["("]; runs
    "struts CVE-2017-5638" Field("content-type"), ["%{", "#"]; runs
    "struts CVE-2017-5638" Field("content-type"), ["ognl"]; runs
    "struts_ognl" Anywhere, ["#_memberaccess"]; runs
    "struts_ognl" Anywhere, ["@java.lang.runtime@"]; runs
    "struts_ognl" Anywhere, ["xwork2.dispatcher.httpservlet"]; runs
    "struts_ognl" Target, ["redirect:${"]; runs
    "template_injection" Target, ["{{", "__class__"]; runs
    "template_injection" Target, ["{{7*7}}"]
    "thinkphp CVE-2018-20062" Target, ["invokefunction", "call_user_func_array"]; runs
    "thinkphp CVE-2018-20062" Target, ["\\think\\", "filter"]; runs
    "vcenter CVE-2021-21972" Target, ["/ui/vropspluginui/rest/services/uploadova"]; runs
    "weblogic CVE-2017-10271" Body, ["java.lang.processbuilder"]; runs
    "weblogic CVE-2020-14882" Target, ["/console/", "/../console.portal"]; runs
    "webdav CVE-2017-7269" Field("if"), ["<http://", "> (not <locktoken:", "> <http://"]; runs
    "xxe" Body, ["<!entity", "system", "file:"]
    "xxe" Body, ["<!entity", "system", "http:"]
};

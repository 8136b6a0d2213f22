# Homebrew formula: `brew install --formula ./oxllm.rb`, or in a tap of one's own.
#
# This is the pattern: formula.py fills in the release's address and checksum, and one resource block for each package
# that oxllm needs, so that Homebrew downloads nothing that is not named here. The filled one is attached to each release.
class Oxllm < Formula
  include Language::Python::Virtualenv

  desc "OpenAI-compatible LLM gateway that fails over between providers"
  homepage "@HOMEPAGE@"
  url "@URL@"
  sha256 "@SHA256@"
  license "Apache-2.0"

  depends_on "rust" => :build # pydantic-core
  depends_on "python@3.13"

  # @RESOURCES@

  def install
    ENV["OXLLM_COMPILE"] = "0" # it would download mypy
    virtualenv_install_with_resources
    generate_completions_from_executable(bin/"oxllm", "completion")
    (etc/"oxllm").mkpath
  end

  # Keys: `api_key_file = "..."` in the config, since launchd gives a service none of your shell's environment.
  service do
    run [opt_bin/"oxllm", "serve", "--config", etc/"oxllm/config.toml"]
    keep_alive successful_exit: false
    log_path var/"log/oxllm.log"
    error_log_path var/"log/oxllm.log"
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/oxllm --version")
    system bin/"oxllm", "init", "config.toml"
    output = with_env(OPENAI_API_KEY: "sk-none") { shell_output("#{bin}/oxllm validate --config config.toml") }
    assert_match "valid", output

    port = free_port
    (testpath/"serve.toml").write <<~TOML
      [server]
      port = #{port}
      [[providers]]
      name = "nobody"
      base_url = "http://127.0.0.1:1/v1"
      [virtual_models]
      smart = [{ provider = "nobody", model = "m" }]
    TOML
    pid = spawn bin/"oxllm", "serve", "--config", testpath/"serve.toml"
    begin
      sleep 5
      assert_equal "ok\n", shell_output("curl -s http://127.0.0.1:#{port}/health")
    ensure
      Process.kill("TERM", pid)
      Process.wait(pid)
    end
  end
end

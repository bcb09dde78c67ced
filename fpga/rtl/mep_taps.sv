// A value one to N cycles later: stage n (from 1) is out[(n-1)*W +: W].
module mep_taps #(
    parameter int W = 1,
    parameter int N = 1,
    parameter bit RESET = 0  // to zero
) (
    input  logic           clk,
    input  logic           rst,
    input  logic [W-1:0]   in,
    output logic [N*W-1:0] out
);
    always_ff @(posedge clk) begin
        out[0+:W] <= in;
        for (int n = 1; n < N; n++) out[n*W+:W] <= out[(n-1)*W+:W];
        if (RESET && rst) out <= '0;
    end
endmodule
